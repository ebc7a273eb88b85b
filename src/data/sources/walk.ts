// The files of a folder and its subfolders. Links to folders are followed, each folder once.

import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import { isHidden } from './endings.ts';
import type { Faults } from './faults.ts';

/** Bounds on what is a data set, and not a disk: folders within one another, and files. */
const MAX_DEPTH = 64;
const MAX_FILES = 20_000_000;

const FIX = 'name a folder of images';

/**
 * The names of the files, relative to the folder, with forward slashes; hidden ones are left out and recorded. The
 * folder's own subfolders come before folders that links lead to, so that a folder that is reached both ways keeps its
 * own name.
 * @throws DataError when there is no such folder, or one of its folders cannot be read
 */
export async function walkFolder(path: string, faults?: Faults): Promise<string[]> {
  const files: string[] = [];
  const entered = new Set<string>();
  let links: string[] = [];
  const enter = async (folder: string): Promise<void> => {
    const real = await realpath(join(path, folder)).catch((cause: unknown) =>
      fail(cause, join(path, folder)),
    );
    if (entered.has(real)) return faults?.record({ kind: 'link-again', where: join(path, folder) });
    entered.add(real);
    if (folder.split('/').length > MAX_DEPTH)
      throw tooLarge(`folders deeper than ${MAX_DEPTH}`, join(path, folder));
    const entries = await readdir(join(path, folder), { withFileTypes: true }).catch((cause: unknown) =>
      fail(cause, join(path, folder)),
    );
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (isHidden(entry.name)) faults?.record({ kind: 'hidden', where: join(path, name) });
      else if (entry.isDirectory()) await enter(name);
      else if (entry.isFile()) files.push(name);
      else if (entry.isSymbolicLink()) {
        // A link to nothing is listed: reading it says so. A pipe that somebody linked here is meant to be read.
        const stats = await stat(join(path, name)).catch(() => undefined);
        if (stats?.isDirectory()) links.push(name);
        else if (stats === undefined || stats.isFile() || stats.isFIFO()) files.push(name);
        else faults?.record({ kind: 'other-file', where: join(path, name) });
      } else faults?.record({ kind: 'other-file', where: join(path, name) }); // a pipe, a device

      if (files.length > MAX_FILES) throw tooLarge(`more than ${MAX_FILES} files`, path);
    }
  };
  await enter('');
  while (links.length > 0) {
    const next = links;
    links = [];
    for (const link of next) await enter(link);
  }
  return files;
}

function fail(cause: unknown, where: string): never {
  if ((cause as NodeJS.ErrnoException).code !== 'ENOTDIR') throw readError(cause, where, 'folder', FIX);
  throw new DataError('this is a file, not a folder', { code: 'E_NOT_A_FOLDER', where, fix: FIX, cause });
}

const tooLarge = (what: string, where: string): DataError =>
  new DataError(`the folder has ${what}`, {
    code: 'E_FOLDER_TOO_LARGE',
    where,
    fix: 'pack the images into WebDataset tars, or name a smaller folder',
  });
