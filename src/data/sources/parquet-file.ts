// Parquet files as hyparquet reads them, with bounds on what a damaged file can ask for.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import type { AsyncBuffer, Compressors } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { readError } from '../../util/files.ts';

/** A row group is in memory as a whole while its images are copied. */
export const MAX_GROUP_BYTES = 2 ** 31;
const MAX_PAGE_BYTES = 2 ** 28;

/** Decompression of pages, each of which is in memory as a whole. */
export const BOUNDED: Compressors = Object.fromEntries(
  Object.entries(compressors).map(([name, decompress]) => [
    name,
    (input: Uint8Array, length: number): Uint8Array => {
      if (length > MAX_PAGE_BYTES) throw new RangeError(`a page of ${length} bytes`);
      return decompress(input, length);
    },
  ]),
);

export interface OpenBuffer extends AsyncBuffer {
  close(): void;
}

/** A file as hyparquet reads it; at once, so that no reading goes on when one has failed (`contained`). */
export function openBuffer(path: string): OpenBuffer {
  try {
    const file = openSync(path, 'r');
    return {
      byteLength: fstatSync(file).size,
      slice(start, end = fstatSync(file).size) {
        if (!(end >= start) || end - start > MAX_GROUP_BYTES)
          throw new RangeError(`${end - start} bytes at ${start}`);
        const bytes = new Uint8Array(end - start);
        const read = readSync(file, bytes, 0, bytes.length, start);
        if (read < bytes.length) throw new RangeError('the file ends too early');
        return bytes.buffer;
      },
      close: () => closeSync(file),
    };
  } catch (cause) {
    throw readError(cause, path, 'Parquet file');
  }
}

/**
 * Runs hyparquet, which starts reading columns that it does not await once another has failed: their errors would end
 * the program, and are those of the same damage.
 */
export async function contained<T>(work: () => Promise<T>): Promise<T> {
  const ignore = (error: unknown): void => {
    if (/hyparquet|fzstd|hysnappy/.test((error as Error | undefined)?.stack ?? '')) return;
    process.nextTick(() => {
      throw error;
    });
  };
  process.on('unhandledRejection', ignore);
  try {
    return await work();
  } finally {
    await setImmediate();
    process.off('unhandledRejection', ignore);
  }
}
