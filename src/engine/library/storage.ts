// Free space on the disk of the cache.

import { statfs } from 'node:fs/promises';
import { DataError } from '../../util/errors.ts';
import { storageError } from '../../util/files.ts';

const FIX = 'free some space, or set MM_CACHE to a folder on another disk';

export const diskFull = (where: string, cause?: unknown): DataError =>
  new DataError('the disk is full', { code: 'E_DISK_FULL', where, fix: FIX, cause });

/** Turns storage errors of the cache into errors with a fix; others pass unchanged. */
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
    `libtensorflow needs ${gigabytes(bytes)} GB to be installed, and ${gigabytes(bavail * bsize)} GB are free`,
    { code: 'E_DISK_FULL', where: folder, fix: FIX },
  );
}
