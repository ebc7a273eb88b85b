// Files and folders written whole or not at all, and the errors of storage as errors that name the fix.

import { randomBytes } from 'node:crypto';
import { mkdirSync, statSync } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { DataError, type ErrorCode, UsageError } from './errors.ts';

function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
}

/** The errors of storage that users meet, by the system's code. */
const STORAGE_ERRORS: Readonly<Record<string, { what: string; code: ErrorCode; fix: string }>> = {
  ENOSPC: {
    what: 'the disk is full',
    code: 'E_DISK_FULL',
    fix: 'free some space, then run again; with `resume`, where the command has it, nothing finished is lost',
  },
  EACCES: {
    what: 'no permission to write',
    code: 'E_NO_PERMISSION',
    fix: 'choose another folder or change its permissions',
  },
  EISDIR: {
    what: 'there is a folder of this name',
    code: 'E_FOLDER_IN_THE_WAY',
    fix: 'choose another name',
  },
  ENOTDIR: {
    what: 'a file stands where a folder is needed',
    code: 'E_FILE_IN_THE_WAY',
    fix: 'choose another folder, or move the file away',
  },
  ENAMETOOLONG: { what: 'the name is too long', code: 'E_NAME_TOO_LONG', fix: 'choose a shorter name' },
  ENOENT: {
    what: 'the folder for it cannot be made, or is gone',
    code: 'E_NO_FOLDER',
    fix: 'choose another folder; this one may be read-only',
  },
};
const SAME_ERRORS: Readonly<Record<string, string>> = {
  EDQUOT: 'ENOSPC',
  EPERM: 'EACCES',
  EROFS: 'EACCES',
  ENOTEMPTY: 'EISDIR',
  EEXIST: 'ENOTDIR',
};

/** The DataError for a storage error that a user can fix; other errors are returned unchanged. */
export function storageError(error: unknown, path: string): unknown {
  const { code = '', syscall } = (error ?? {}) as Partial<NodeJS.ErrnoException>;
  // Node reports a folder that cannot be made on a read-only file system as ENOENT of these calls.
  if (code === 'ENOENT' && syscall !== 'mkdir' && syscall !== 'rename') return error;
  const known = STORAGE_ERRORS[SAME_ERRORS[code] ?? code];
  if (!known) return error;
  const { what, ...details } = known;
  return new DataError(what, { ...details, where: path, cause: error });
}

/** Changes an error about a file in the temporary folder into one about the folder it would have become. */
function relocated(error: unknown, temporary: string, path: string): unknown {
  if (!(error instanceof DataError) || !error.where?.startsWith(temporary)) return error;
  const { code, option, fix } = error;
  const where = path + error.where.slice(temporary.length);
  return new DataError(error.message, {
    where,
    ...(code && { code }),
    ...(option !== undefined && { option }),
    ...(fix !== undefined && { fix }),
    cause: error,
  });
}

/** Removes what a failed write left; its own failure is not reported. */
const clear = (path: string): Promise<void> => rm(path, { recursive: true, force: true }).catch(() => {});

/**
 * Checks before long work that files can be written into a folder, which need not exist yet: creates and removes a file
 * in the part of its path that exists. Permission bits are not consulted: some systems report them wrongly.
 * @throws DataError when no file can be written
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
      code: 'E_FOLDER_NOT_WRITABLE',
      where: folder,
      fix: 'choose another folder',
      cause: error,
    });
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  // ENOTDIR: part of the path is a file, which the write then reports.
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}

/**
 * Reads a UTF-8 text file; a byte order mark is left out.
 * @param what the file in words, for messages: "list", "tokenizer"
 * @throws DataError when there is no such file, or it cannot be read or is not UTF-8
 */
export async function readTextFile(path: string, what: string, fix?: string): Promise<string> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw readError(cause, path, what, fix);
  });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataError(`the ${what} is not UTF-8 text`, {
      code: 'E_NOT_TEXT',
      where: path,
      fix: 'save it as UTF-8 text',
      cause,
    });
  }
}

/** The DataError for a file or folder that cannot be read; `what` names it in words. */
export function readError(
  cause: unknown,
  path: string,
  what: string,
  fix = 'check the path and the permissions',
): DataError {
  const { code, message } = cause as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new DataError(`there is no such ${what}`, { code: 'E_NOT_FOUND', where: path, fix, cause });
    case 'EISDIR':
      return new DataError(`the ${what} is a folder`, { code: 'E_NOT_A_FILE', where: path, fix, cause });
    case 'EACCES':
    case 'EPERM':
      return new DataError(`no permission to read the ${what}`, {
        code: 'E_NO_PERMISSION',
        where: path,
        fix: 'change the permissions',
        cause,
      });
    default:
      return new DataError(`the ${what} cannot be read (${code ?? message})`, {
        code: 'E_UNREADABLE',
        where: path,
        fix,
        cause,
      });
  }
}

/**
 * Makes a folder and those above it that are missing. Node's recursive mkdir never returns where a folder that exists
 * answers ENOENT, as those of /proc do.
 */
export function makeFolder(path: string): void {
  const missing: string[] = [];
  for (let at = resolve(path); !isFolder(at); at = dirname(at)) missing.push(at);
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder);
    } catch (error) {
      if (!isFolder(folder)) throw error; // another process may have made it
    }
  }
}

const isFolder = (path: string): boolean => {
  try {
    return statSync(path).isDirectory();
  } catch {
    return dirname(path) === path; // the root: mkdir says what is wrong with the first folder in it
  }
};

/** Writes a file whole or not at all: `fill` writes a temporary file beside it, which is synced and renamed. */
export async function writeAtomically(
  path: string,
  fill: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    makeFolder(dirname(path));
    const file = await open(temporary, 'wx');
    try {
      await fill(file);
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

/** Writes a file whole or not at all. */
export const writeFileAtomic = (path: string, data: string | Uint8Array): Promise<void> =>
  writeAtomically(path, (file) => file.writeFile(data));

/** Throws UsageError when there is anything at `path`, DataError when it cannot be written. */
export async function assertNewFolder(path: string): Promise<void> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (isThere) {
    throw new UsageError('the folder is there already', {
      code: 'E_FOLDER_NOT_EMPTY',
      where: path,
      fix: 'name a new folder, or remove this one',
    });
  }
  await assertWritable(path);
}

/** Writes a folder whole or not at all: `fill` writes into a temporary folder, which is then renamed. */
export async function writeFolderAtomic(
  path: string,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    makeFolder(temporary);
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
