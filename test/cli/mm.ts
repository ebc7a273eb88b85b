// Runs the program from its sources, as a process.

import { type ChildProcess, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAM = "const { main } = await import('./src/cli/main.ts'); await main(process.argv.slice(1))";

export interface Outcome {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `mm …flags` from the repository's root; `watch` may send it signals. */
export async function mm(flags: readonly string[], watch?: (child: ChildProcess) => void): Promise<Outcome> {
  const program = ['--import', 'tsx', '--input-type=module', '-e', PROGRAM, '--', ...flags];
  const child = spawn(process.execPath, program, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  watch?.(child);
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, stdout, stderr };
}
