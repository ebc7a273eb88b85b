// The images that a command line names.

import { stat } from 'node:fs/promises';
import type { ImageFile } from '../data/image.ts';
import { DataError } from '../util/errors.ts';

/** The named images: files, and all images of folders, tars and lists. */
export async function findImages(paths: readonly string[]): Promise<ImageFile[]> {
  const found = await Promise.all(paths.map(findIn));
  return found.flat();
}

async function findIn(path: string): Promise<readonly ImageFile[]> {
  const { archivesOf, readImages } = await import('../data/sources/resolve.ts');
  const { isList } = await import('../data/sources/lists.ts');
  if (isList(path) || (await archivesOf(path))) return readImages(path, { captions: 'ignore' });
  const stats = await stat(path).catch((cause: unknown) => {
    throw new DataError('there is no such image or folder', {
      code: 'E_NOT_FOUND',
      where: path,
      fix: 'check the path',
      cause,
    });
  });
  return stats.isDirectory() ? readImages(path, { captions: 'ignore' }) : [{ path }];
}
