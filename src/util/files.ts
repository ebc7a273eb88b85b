// Writing so that a reader never sees half a file, whatever happens in between.

import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
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
 * Checks, before work that takes long, that files can be written into a folder, which need not exist yet: writes one into
 * the part of its path that does, and takes it away again. What permissions say is not asked: not all systems tell the truth.
 * @throws DataError when they cannot
 */
export async function assertWritable(folder: string): Promise<void> {
  let existing = resolve(folder);
  while (!(await stat(existing).catch(ignoreMissing)) && dirname(existing) !== existing)
    existing = dirname(existing);
  const trial = temporaryName(join(existing, 'trial'));
  try {
    await (await open(trial, 'wx')).close();
    await rm(trial);
  } catch (error) {
    const known = storageError(error, folder);
    if (known !== error) throw known;
    throw new DataError(`no file can be written there (${(error as NodeJS.ErrnoException).code})`, {
      where: folder,
      fix: 'choose another folder',
      cause: error,
    });
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  // Below a file there is nothing either; what is wrong is said when the file is met.
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
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
    // What went wrong first is what is told.
    await rm(temporary, { force: true }).catch(() => undefined);
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
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
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
