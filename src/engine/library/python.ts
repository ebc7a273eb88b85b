// Finds a Python 3 that has pip. Any version serves: pip is told which wheel it must fetch.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { EngineError } from '../../util/errors.ts';

export interface Pip {
  readonly command: string;
  readonly arguments: readonly string[];
  /** As pip reports itself: `pip 23.2.1 from … (python 3.11)`. */
  readonly version: string;
}

const CANDIDATES: readonly (readonly [string, ...string[]])[] = [
  ['python3', '-m', 'pip'],
  ['python', '-m', 'pip'],
  ['py', '-3', '-m', 'pip'],
  ['pip3'],
];

/** @throws EngineError when no candidate is a Python 3 with pip. */
export async function findPip(environment: NodeJS.ProcessEnv = process.env): Promise<Pip> {
  for (const [command, ...rest] of CANDIDATES) {
    const version = await pipVersion(command, rest, environment);
    if (version !== undefined) return { command, arguments: rest, version };
  }
  throw new EngineError('no Python 3 with pip was found; mm setup fetches libtensorflow with it', {
    fix: 'install Python 3 and pip (any version), or fetch the wheel elsewhere and run mm setup --from WHEEL',
  });
}

async function pipVersion(
  command: string,
  rest: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(command, [...rest, '--version'], { env, timeout: 60_000 });
    return /\(python 3\.\d+\)/.test(stdout) ? stdout.trim() : undefined;
  } catch {
    return undefined;
  }
}
