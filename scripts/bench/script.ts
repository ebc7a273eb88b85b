// What every yardstick script shares: one error boundary, and running other programs.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { EngineError, EXIT, formatUserError, UsageError, UserError } from '../../src/util/errors.ts';

const execute = promisify(execFile);

/** Runs a script's main function; errors of the user's come out as text and an exit code, as `mm` does it. */
export async function runScript(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    const told = fromParseArgs(error);
    console.error(told instanceof UserError ? formatUserError(told) : told);
    process.exitCode = told instanceof UserError ? told.exitCode : EXIT.bug;
  }
}

function fromParseArgs(error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  return code?.startsWith('ERR_PARSE_ARGS') ? new UsageError(message) : error;
}

/** Runs a program to its end. Throws EngineError with what it wrote when it is missing or fails. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: { cwd?: string; fix?: string } = {},
): Promise<void> {
  const { fix, ...rest } = options;
  try {
    await execute(program, args, { ...rest, maxBuffer: 1 << 26 });
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim() || (error as Error).message;
    throw new EngineError(`${program} failed: ${said}`, { where: args.join(' '), fix, cause: error });
  }
}
