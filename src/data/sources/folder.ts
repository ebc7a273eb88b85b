// Images of a folder, flat or nested, with the caption files beside them or in another folder.

import { basename, dirname, join } from 'node:path';
import { DataError } from '../../util/errors.ts';
import type { CaptionedImage } from '../image.ts';
import { extensionOf, IMAGE_EXTENSIONS, normalized, roleOf, stemOf } from './endings.ts';
import type { Faults } from './faults.ts';
import {
  type CaptionFiles,
  groupCaptions,
  matchCaptions,
  type ReadCaptions,
  readEach,
} from './folder-captions.ts';
import { isMetadata, readMetadata } from './folder-metadata.ts';
import { type ImageStream, inPlace, type ReadOptions, type SourcePart } from './source.ts';
import { walkFolder } from './walk.ts';

/** Names relative to the folder. */
interface Listing {
  /** By key, sorted by it. */
  readonly images: readonly (readonly [key: string, name: string])[];
  /** Caption files by their stem in Unicode's composed form, then by extension. */
  readonly captions: ReadonlyMap<string, CaptionFiles>;
  /** Lists of captions. */
  readonly metadata: readonly string[];
}

export const folderPart = (path: string): SourcePart => ({
  path,
  access: 'direct',
  read: async (options) => {
    const all: CaptionedImage[] = [];
    for await (const image of (await openFolder(path, options)).images) all.push(image);
    return inPlace(all);
  },
  stream: (options) => openFolder(path, options),
});

/** Lists a folder; the captions of its images are read when their turn comes. */
async function openFolder(path: string, { captions, faults, table }: ReadOptions): Promise<ImageStream> {
  const listing = await listFolder(path, faults);
  const { images } = listing;
  const stream = { total: images.length, close: async () => {} };
  if (captions === 'ignore') {
    return {
      ...stream,
      images: images.map(([key, name]) => ({ key, path: join(path, name), captions: [] })),
    };
  }
  const names = images.map(([, name]) => name);
  const files = matchCaptions(path, names, listing.captions, faults);
  const metadata = await readMetadata(path, listing.metadata, names, { faults, table });
  const toImage = ([key, name]: readonly [string, string], { found }: ReadCaptions): CaptionedImage => {
    const listed = metadata.get(normalized(name));
    return { key, path: join(path, name), ...(listed && isBetter(listed, found) ? listed : found) };
  };
  async function* captioned(): AsyncGenerator<CaptionedImage> {
    let i = 0;
    for await (const captions of readEach(path, files)) {
      if (captions.fault) faults?.record(captions.fault);
      yield toImage(images[i++] as (typeof images)[number], captions);
    }
  }
  return { ...stream, images: captioned() };
}

/** Whether a list of captions decides: caption files that have text, or cannot be read, come first. */
const isBetter = (
  { captions, lack }: Pick<CaptionedImage, 'captions' | 'lack'>,
  found: ReadCaptions['found'],
): boolean =>
  found.captions.length === 0 &&
  found.lack !== 'unreadable-caption' &&
  (captions.length > 0 || lack !== undefined);

/**
 * Lists a folder and its subfolders, and records what is left out.
 * @throws DataError when there is no such folder, or no image in it
 */
async function listFolder(path: string, faults?: Faults): Promise<Listing> {
  const names = await walkFolder(path, faults);
  const grids = sampleGrids(names);
  const images: string[] = [];
  const captions: string[] = [];
  const metadata: string[] = [];
  for (const name of names) {
    const extension = extensionOf(name);
    const role = roleOf(extension);
    if (grids.has(name)) faults?.record({ kind: 'sample-grid', where: join(path, name) });
    else if (role === 'image') images.push(name);
    else if (role === 'other-image') faults?.record({ kind: 'image-ending', where: join(path, name) });
    else if (isMetadata(name)) metadata.push(name);
    else if (role === 'other') faults?.record({ kind: 'other-file', where: join(path, name) });
    else captions.push(name);
  }
  if (images.length === 0) throw noImages(path, names.length);
  return { images: keyed(path, images, faults), captions: groupCaptions(captions), metadata };
}

/** The grid.png beside the images that `mm sample` numbers: all of them once more. */
function sampleGrids(names: readonly string[]): ReadonlySet<string> {
  const grids = names.filter((name) => basename(name) === 'grid.png');
  if (grids.length === 0) return new Set();
  const sampled = new Set(names.filter((name) => /^\d{4}-.*\.png$/.test(basename(name))).map(dirname));
  return new Set(grids.filter((name) => sampled.has(dirname(name))));
}

const noImages = (path: string, files: number): DataError =>
  new DataError(files === 0 ? 'the folder is empty' : `none of the ${files} files is an image`, {
    code: 'E_NO_IMAGES',
    where: path,
    fix: `put images in it (${[...IMAGE_EXTENSIONS].join(' ')}), or name another folder`,
  });

/**
 * Keys of images: the name without its extension, and with it where several images share the rest. Sorted by key.
 * @param path the folder, for messages
 */
export function keyed(
  path: string,
  names: readonly string[],
  faults?: Faults,
): [key: string, name: string][] {
  const count = new Map<string, number>();
  for (const name of names) count.set(stemOf(name), (count.get(stemOf(name)) ?? 0) + 1);
  const taken = new Set(names.map(stemOf));
  return names
    .map((name): [string, string] => {
      const stem = stemOf(name);
      if (count.get(stem) === 1) return [stem, name];
      faults?.record({ kind: 'twin', where: join(path, name) });
      let key = name;
      while (taken.has(key)) key += extensionOf(name); // x.png beside x.png.png and x.jpg
      taken.add(key);
      return [key, name];
    })
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
