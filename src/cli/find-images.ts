// The images that a command line names.

import type { ImageFile } from '../data/image.ts';
import type { Faults } from '../data/sources/faults.ts';
import type { ReadOptions } from '../data/sources/source.ts';

/** The named images: files, and all images of folders, tars and lists. */
export async function findImages(
  paths: readonly string[],
  faults: Faults,
  options: Pick<ReadOptions, 'table' | 'signal'>,
): Promise<ImageFile[]> {
  const { readImages } = await import('../data/sources/resolve.ts');
  const found: ImageFile[] = [];
  for (const path of paths)
    for (const image of await readImages(path, { ...options, captions: 'ignore', faults })) found.push(image);
  return found;
}
