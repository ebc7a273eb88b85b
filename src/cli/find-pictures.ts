// The pictures that a command line names.

import { stat } from 'node:fs/promises';
import type { PictureFile } from '../data/picture.ts';

import { DataError } from '../util/errors.ts';

/** The pictures named: files, and all pictures of folders, of tars and of lists. */
export async function findPictures(paths: readonly string[]): Promise<PictureFile[]> {
  const found = await Promise.all(paths.map(findIn));
  return found.flat();
}

async function findIn(path: string): Promise<readonly PictureFile[]> {
  const { archivesOf, readPictures } = await import('../data/sources/resolve.ts');
  const { isList } = await import('../data/sources/lists.ts');
  if (isList(path) || (await archivesOf(path))) return readPictures(path, { captions: 'ignore' });
  const stats = await stat(path).catch((cause: unknown) => {
    throw new DataError('there is no such picture or folder', { where: path, fix: 'check the path', cause });
  });
  return stats.isDirectory() ? readPictures(path, { captions: 'ignore' }) : [{ path }];
}
