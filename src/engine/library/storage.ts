// Room on the disk that holds the cache.

import { statfs } from 'node:fs/promises';
import { DataError } from '../../util/errors.ts';
import { storageError } from '../../util/files.ts';

const FIX = 'free some space, or name a folder on another disk in MM_CACHE';

export const diskFull = (where: string, cause?: unknown): DataError =>
  new DataError('the disk is full', { where, fix: FIX, cause });

/** Storage faults met while filling the cache, as errors that say the fix; others pass unchanged. */
export function cacheError(error: unknown, where: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT' ? diskFull(where, error) : storageError(error, where);
}

/** @throws DataError when `folder`'s disk has fewer than `bytes` free. */
export async function assertFreeSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  const gigabytes = (value: number) => (value / 1e9).toFixed(1);
  throw new DataError(
    `libtensorflow needs ${gigabytes(bytes)} GB while it is unpacked, and ${gigabytes(bavail * bsize)} GB are free`,
    { where: folder, fix: FIX },
  );
}
