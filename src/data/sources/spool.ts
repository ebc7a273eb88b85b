// Temporary storage for bytes that can only be had in order: compressed tars, pipes, URLs, images inside Parquet. A copy
// lies in the cache folder, outside memory, and is gone when its part is closed or the program ends.

import { randomBytes } from 'node:crypto';
import { createWriteStream, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { cacheFolder } from '../../engine/library/locate.ts';
import { makeFolder, storageError } from '../../util/files.ts';

let folder: string | undefined;

/** A file that is gone when the program ends. */
export function temporaryFile(): string {
  return join(temporaryFolder(), randomBytes(6).toString('hex'));
}

function temporaryFolder(): string {
  if (folder !== undefined) return folder;
  const all = join(cacheFolder(), 'copies');
  const own = join(all, String(process.pid));
  try {
    makeFolder(own);
  } catch (error) {
    throw storageError(error, own);
  }
  folder = own;
  process.on('exit', () => rmSync(own, { recursive: true, force: true }));
  removeAbandoned(all);
  return own;
}

/** Removes what processes left that were killed. */
function removeAbandoned(all: string): void {
  for (const name of readdirSync(all)) {
    if (!/^\d+$/.test(name)) continue;
    try {
      process.kill(Number(name), 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH')
        rmSync(join(all, name), { recursive: true, force: true });
    }
  }
}

/** Writes a stream to temporary storage. The caller removes the file. Errors of the stream are thrown as they are. */
export async function copyStream(stream: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<string> {
  const path = temporaryFile();
  try {
    await pipeline(stream, createWriteStream(path, { mode: 0o600 }), { signal });
    return path;
  } catch (error) {
    rmSync(path, { force: true });
    const { syscall } = error as NodeJS.ErrnoException;
    throw syscall === 'write' || syscall === 'open' ? storageError(error, path) : error;
  }
}
