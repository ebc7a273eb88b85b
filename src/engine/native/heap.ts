// glibc's heap: blocks of a run in separate pages, which go back to the system when they are freed.

import { koffi } from './koffi.ts';

// Numbers of <malloc.h>.
const TRIM_THRESHOLD = -1;
const MMAP_THRESHOLD = -3;

const LARGE_BYTES = 2 ** 20;
/** What glibc's own threshold grows to at most. */
const MAX_BYTES = 2 ** 25;

/** Gives free memory back to the system, wherever in the heap it is: glibc keeps it otherwise. On Linux. */
export function giveBackFreeMemory(): void {
  if (process.platform === 'linux') trim()(0);
}

/** Looked up when it is needed: elsewhere there is no such function. */
const trim = (): ((kept: number) => number) =>
  koffi.load('libc.so.6').func('int malloc_trim(size_t)') as never;

/**
 * Runs `body` with each block of a megabyte or more in separate pages, and gives free memory back afterwards. Otherwise
 * small blocks that stay take the places of large ones that come and go, and the heap grows with each large one. Outside
 * of Linux it runs `body` alone.
 */
export async function withLargeBlocksApart<T>(body: () => Promise<T>): Promise<T> {
  if (process.platform !== 'linux') return body();
  const libc = koffi.load('libc.so.6');
  const set = libc.func('int mallopt(int, int)') as (parameter: number, value: number) => number;
  giveBackFreeMemory();
  set(MMAP_THRESHOLD, LARGE_BYTES);
  try {
    return await body();
  } finally {
    set(MMAP_THRESHOLD, MAX_BYTES);
    set(TRIM_THRESHOLD, 2 * MAX_BYTES);
    giveBackFreeMemory();
  }
}
