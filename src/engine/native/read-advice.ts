// How the system is to read a file.

import { koffi } from './koffi.ts';

/** POSIX_FADV_RANDOM of Linux's <fcntl.h>. */
const RANDOM = 1;

/**
 * Has the system read what is asked for, and nothing ahead: for reads of megabytes, of which the next ones are under way
 * already. What it reads ahead of a file that is not in memory takes several times their processor time (docs/LOG.md).
 * Outside of Linux nothing changes.
 */
export function readAsAsked(descriptor: number): void {
  if (process.platform !== 'linux') return;
  advise ??= koffi.load('libc.so.6').func('int posix_fadvise(int, int64_t, int64_t, int)') as never;
  advise(descriptor, 0, 0, RANDOM);
}

let advise: ((descriptor: number, offset: number, length: number, advice: number) => number) | undefined;
