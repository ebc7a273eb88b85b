// The pictures that a command line names.

import { stat } from 'node:fs/promises';
import { DataError } from '../util/errors.ts';

/** The pictures named: files, and all pictures of folders. */
export async function findPictures(paths: readonly string[]): Promise<{ readonly path: string }[]> {
  const { readFolder } = await import('../data/source.ts');
  const found = await Promise.all(
    paths.map(async (path) => {
      const stats = await stat(path).catch((cause: unknown) => {
        throw new DataError('there is no such picture or folder', {
          where: path,
          fix: 'check the path',
          cause,
        });
      });
      return stats.isDirectory() ? readFolder(path, { captions: 'ignore' }) : [{ path }];
    }),
  );
  return found.flat();
}
