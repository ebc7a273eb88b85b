// What every benchmark shares: one error boundary, and running other programs.

import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
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

/** Python with the peers: that of the virtual environment MM_PEERS, ~/.cache/mm-peers by default. */
export const peersPython = (): string =>
  join(process.env.MM_PEERS ?? join(homedir(), '.cache', 'mm-peers'), 'bin', 'python');

/** A whole number above 0 that a flag gives. */
export function count(flag: string, given: string): number {
  const number = Number(given);
  if (!Number.isInteger(number) || number < 1)
    throw new UsageError(`${flag} must be a whole number above 0, not ${given}`);
  return number;
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
