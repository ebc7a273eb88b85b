// Writing so that a reader never sees half a file, whatever happens in between.

import { randomBytes } from 'node:crypto';
import { access, constants, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { DataError } from './errors.ts';

function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
}

/** Turns the storage faults users meet into errors that say the fix. Others pass unchanged. */
export function storageError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new DataError('the disk is full', {
        where: path,
        fix: 'free some space, then run again; with --resume where the command has it, nothing finished is lost',
        cause: error,
      });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new DataError('no permission to write', {
        where: path,
        fix: 'choose another folder or change its permissions',
        cause: error,
      });
    case 'ENOTDIR':
    case 'EEXIST':
      return new DataError('a file stands where a folder is needed', {
        where: path,
        fix: 'choose another folder, or move the file away',
        cause: error,
      });
    default:
      return error;
  }
}

/**
 * Checks, before work that takes long, that files can be written into a folder, which need not exist yet. Leaves nothing behind.
 * @throws DataError when they cannot
 */
export async function assertWritable(folder: string): Promise<void> {
  let existing = resolve(folder);
  try {
    for (;;) {
      const stats = await stat(existing).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
      if (stats?.isDirectory() === false) throw Object.assign(new Error('a file'), { code: 'ENOTDIR' });
      if (stats || dirname(existing) === existing) break;
      existing = dirname(existing);
    }
    await access(existing, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw storageError(error, folder);
  }
}

/** Writes a file whole or not at all: a temporary file beside it, synced, renamed. */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw storageError(error, path);
  }
}

/** Fills a folder whole or not at all: `fill` writes into a temporary folder, which then takes the name. */
export async function writeFolderAtomic(
  path: string,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await mkdir(temporary, { recursive: true });
    await fill(temporary);
    await syncFolder(temporary);
    await rm(path, { recursive: true, force: true });
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw storageError(error, path);
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
