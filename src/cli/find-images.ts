// The images that a command line names.

import type { ImageFile } from '../data/image.ts';
import type { Faults } from '../data/sources/faults.ts';
import type { TableOptions } from '../data/sources/source.ts';

/** The named images: files, and all images of folders, tars and lists. */
export async function findImages(
  paths: readonly string[],
  faults: Faults,
  table?: TableOptions,
): Promise<ImageFile[]> {
  const { readImages } = await import('../data/sources/resolve.ts');
  const found: ImageFile[] = [];
  for (const path of paths) found.push(...(await readImages(path, { captions: 'ignore', faults, table })));
  return found;
}
