// Runs the program as a process: as built by `npm test`, or from its sources, which starts more slowly.

import { type ChildProcess, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { TYPESCRIPT } from './typescript.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const IS_BUILT = process.env.MM_TEST_BUILT === '1';
const LOADER = IS_BUILT ? [] : TYPESCRIPT;

/** Node's parameters to run a module given as text in the repository's root. */
export const asModule = (text: string): string[] => [...LOADER, '--input-type=module', '-e', text, '--'];
/** The file from which such a module imports the program. */
export const MAIN = IS_BUILT ? './dist/cli/main.js' : './src/cli/main.ts';

const PROGRAM = `const { main } = await import('${MAIN}'); await main(process.argv.slice(1))`;

export interface Outcome {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `mm …flags` from the repository's root; `watch` may send it signals, `env` adds variables, `input` is its stdin, by default empty. */
export async function mm(
  flags: readonly string[],
  watch?: (child: ChildProcess) => void,
  env: Readonly<Record<string, string>> = {},
  input?: Uint8Array | string,
): Promise<Outcome> {
  const child = spawn(process.execPath, [...asModule(PROGRAM), ...flags], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => {}).end(input); // it may have ended before it read all
  watch?.(child);
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, stdout, stderr };
}
