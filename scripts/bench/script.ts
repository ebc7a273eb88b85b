// Shared by all benchmarks: one error boundary, and running other programs.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EngineError, EXIT, formatUserError, UsageError, UserError } from '../../src/util/errors.ts';

const execute = promisify(execFile);

/** Runs the main function of a script; prints user errors as text and sets the exit code, as `mm` does. */
export async function runScript(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    const reported = fromParseArgs(error);
    console.error(reported instanceof UserError ? formatUserError(reported) : reported);
    process.exitCode = reported instanceof UserError ? reported.exitCode : EXIT.bug;
  }
}

function fromParseArgs(error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  return String(code).startsWith('ERR_PARSE_ARGS') ? new UsageError(message, { code: 'E_ARGUMENT' }) : error;
}

/** Python of the virtual environment MM_PEERS (by default ~/.cache/mm-peers), which has the compared programs. */
export const peersPython = (): string =>
  join(process.env.MM_PEERS ?? join(homedir(), '.cache', 'mm-peers'), 'bin', 'python');

/** @throws UsageError when it is missing */
export function assertPeers(packages: string): void {
  if (existsSync(peersPython())) return;
  throw new UsageError(`there is no Python with the peers at ${peersPython()}`, {
    code: 'E_PEERS_MISSING',
    fix: `set MM_PEERS to a virtual environment with ${packages}`,
  });
}

/** Parses the value of a flag as an integer above 0. */
export function count(flag: string, given: string): number {
  const number = Number(given);
  if (!Number.isInteger(number) || number < 1)
    throw new UsageError(`${flag} must be an integer above 0, not ${given}`, { code: 'E_ARGUMENT' });
  return number;
}

/** Runs a program to its end. @throws EngineError with its stderr when it is missing or fails */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: { cwd?: string; fix?: string } = {},
): Promise<void> {
  const { fix, ...rest } = options;
  try {
    await execute(program, args, { ...rest, maxBuffer: 1 << 26 });
  } catch (error) {
    const stderr = (error as { stderr?: string }).stderr?.trim() || (error as Error).message;
    throw new EngineError(`${program} failed: ${stderr}`, {
      code: 'E_PROGRAM_FAILED',
      where: args.join(' '),
      fix,
      cause: error,
    });
  }
}
