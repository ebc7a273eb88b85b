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
  const { code, syscall } = (error ?? {}) as Partial<NodeJS.ErrnoException>;
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
    case 'EISDIR':
    case 'ENOTEMPTY':
      return new DataError('there is a folder of this name', {
        where: path,
        fix: 'give it another name',
        cause: error,
      });
    case 'ENOTDIR':
    case 'EEXIST':
      return new DataError('a file stands where a folder is needed', {
        where: path,
        fix: 'choose another folder, or move the file away',
        cause: error,
      });
    case 'ENAMETOOLONG':
      return new DataError('the name is too long', {
        where: path,
        fix: 'choose a shorter one',
        cause: error,
      });
    case 'ENOENT':
      // So Node puts it when a folder cannot be made on a read-only file system.
      if (syscall !== 'mkdir' && syscall !== 'rename') return error;
      return new DataError('the folder for it cannot be made, or is gone', {
        where: path,
        fix: 'choose another folder; this one may be read-only',
        cause: error,
      });
    default:
      return error;
  }
}

/** An error about a file in the temporary folder, as one about the folder that it would have become. */
function relocated(error: unknown, temporary: string, path: string): unknown {
  if (!(error instanceof DataError) || !error.where?.startsWith(temporary)) return error;
  const where = path + error.where.slice(temporary.length);
  return new DataError(error.message, { where, ...(error.fix && { fix: error.fix }), cause: error });
}

/** Takes away what a failed write left; the failure itself is what users hear of. */
const clear = (path: string): Promise<void> => rm(path, { recursive: true, force: true }).catch(() => {});

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
    await clear(temporary);
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
    await clear(temporary);
    throw relocated(storageError(error, path), temporary, path);
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
