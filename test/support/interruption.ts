// Signals to a program at a point of its work, recognized by the files that it has written.

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';

/** Waits until `isThere` returns true, or the program has ended. */
async function until(isThere: () => boolean, child: ChildProcess): Promise<void> {
  while (child.exitCode === null && child.signalCode === null && !isThere()) await setTimeout(2);
}

/** For `mm`: sends the signal as soon as `isThere` returns true. */
export const signalWhen =
  (signal: NodeJS.Signals, isThere: () => boolean) =>
  async (child: ChildProcess): Promise<void> => {
    await until(isThere, child);
    child.kill(signal);
  };

/** Asserts what a training run of `steps` says when it is stopped by Ctrl-C; returns the step that it names. */
export function assertInterrupted(stderr: string, steps: number): string {
  const said = new RegExp(
    `stopped at step (\\d+) of ${steps}\\n {2}at: {2}.*step-\\1\\n {2}fix: .*--resume.*\\n {2}code: E_INTERRUPTED\\n`,
  );
  assert.match(stderr, said);
  return said.exec(stderr)?.[1] as string;
}
