// Signals to a program at a point of its work, recognized by the files that it has written.

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
