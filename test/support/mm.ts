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

const PROGRAM = new URL(`../../${MAIN}`, import.meta.url).href;

/** The words of the command `mm`, in any folder. */
export const MM: readonly string[] = [
  process.execPath,
  ...asModule(`const { main } = await import('${PROGRAM}'); await main(process.argv.slice(1))`),
];

export interface Outcome {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** May send it signals. */
  readonly watch?: ((child: ChildProcess) => void) | undefined;
  /** Variables added to those of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Its stdin; empty without it. */
  readonly input?: Uint8Array | string | undefined;
  /** Its folder; the repository's root without it. */
  readonly cwd?: string;
}

/** Runs `mm …flags` from the repository's root. */
export const mm = (
  flags: readonly string[],
  watch?: RunOptions['watch'],
  env: Readonly<Record<string, string>> = {},
  input?: RunOptions['input'],
): Promise<Outcome> => run([...MM, ...flags], { watch, env, input });

/** Runs a command to its end. */
export async function run(
  [command = '', ...words]: readonly string[],
  { watch, env = {}, input, cwd = ROOT }: RunOptions = {},
): Promise<Outcome> {
  const child = spawn(command, words, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => {}).end(input); // it may have ended before it read all
  watch?.(child);
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, stdout, stderr };
}
