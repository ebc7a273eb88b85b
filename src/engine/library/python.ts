// Finds a Python 3 with pip. Any Python 3 will do: pip is told which wheel to download.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { EngineError } from '../../util/errors.ts';

export interface Pip {
  readonly command: string;
  readonly arguments: readonly string[];
  /** The output of `pip --version`: `pip 23.2.1 from … (python 3.11)`. */
  readonly version: string;
}

const CANDIDATES: readonly (readonly [string, ...string[]])[] = [
  ['python3', '-m', 'pip'],
  ['python', '-m', 'pip'],
  ['py', '-3', '-m', 'pip'],
  ['pip3'],
];

// Older versions check the wheel's Requires-Python against the Python they run in.
const MIN_PIP = [19, 2] as const;

/** @throws EngineError when no candidate is a Python 3 with pip 19.2 or newer */
export async function findPip(environment: NodeJS.ProcessEnv = process.env): Promise<Pip> {
  let tooOld: string | undefined;
  for (const [command, ...rest] of CANDIDATES) {
    const version = await pipVersion(command, rest, environment);
    if (version === undefined) continue;
    if (isRecent(version)) return { command, arguments: rest, version };
    tooOld ??= version;
  }
  throw new EngineError(
    tooOld === undefined
      ? 'no Python 3 with pip was found; mm setup downloads libtensorflow with it'
      : `pip is older than ${MIN_PIP.join('.')}: ${tooOld}`,
    {
      code: tooOld === undefined ? 'E_PIP_MISSING' : 'E_PIP_OLD',
      fix: 'install Python 3 with pip (19.2 or newer), or download the wheel elsewhere: mm setup --from WHEEL',
    },
  );
}

function isRecent(version: string): boolean {
  const [major = 0, minor = 0] = /^pip (\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [];
  return major > MIN_PIP[0] || (major === MIN_PIP[0] && minor >= MIN_PIP[1]);
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
