// The pictures that a command line names.

import { stat } from 'node:fs/promises';
import type { PictureFile } from '../data/decode.ts';
import { DataError } from '../util/errors.ts';

/** The pictures named: files, and all pictures of folders, of WebDataset tars and of lists. */
export async function findPictures(paths: readonly string[]): Promise<PictureFile[]> {
  const [{ archivesOf, readPictures }, { isList }] = await Promise.all([
    import('../data/pictures.ts'),
    import('../data/lists.ts'),
  ]);
  const found = await Promise.all(
    paths.map(async (path): Promise<readonly PictureFile[]> => {
      if (isList(path) || (await archivesOf(path))) return readPictures(path, { captions: 'ignore' });
      const stats = await stat(path).catch((cause: unknown) => {
        throw new DataError('there is no such picture or folder', {
          where: path,
          fix: 'check the path',
          cause,
        });
      });
      return stats.isDirectory() ? readPictures(path, { captions: 'ignore' }) : [{ path }];
    }),
  );
  return found.flat();
}
