// Images of a folder, flat or nested, with the caption files beside them or in another folder.

import { join } from 'node:path';
import { mapConcurrently } from '../../util/concurrent.ts';
import { DataError } from '../../util/errors.ts';
import type { CaptionedImage } from '../image.ts';
import { extensionOf, IMAGE_EXTENSIONS, normalized, roleOf, stemOf } from './endings.ts';
import type { Faults } from './faults.ts';
import {
  type CaptionFiles,
  groupCaptions,
  matchCaptions,
  type ReadCaptions,
  readFound,
} from './folder-captions.ts';
import { isMetadata, readMetadata } from './folder-metadata.ts';
import { inPlace, type OpenPart, type ReadOptions, type SourcePart } from './source.ts';
import { walkFolder } from './walk.ts';

/** Bound on images whose caption files are open. */
const MAX_OPEN_CAPTIONS = 32;

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
  read: (options) => readFolderPart(path, options),
});

async function readFolderPart(path: string, { captions, faults, table }: ReadOptions): Promise<OpenPart> {
  const listing = await listFolder(path, faults);
  if (captions === 'ignore') {
    return inPlace(listing.images.map(([key, name]) => ({ key, path: join(path, name), captions: [] })));
  }
  const names = listing.images.map(([, name]) => name);
  const files = matchCaptions(path, names, listing.captions, faults);
  const read = await mapConcurrently(files, MAX_OPEN_CAPTIONS, (some) => readFound(path, some));
  // In the order of the images, not of the reading.
  for (const { fault } of read) if (fault) faults?.record(fault);
  const metadata = await readMetadata(path, listing.metadata, names, { faults, table });
  return inPlace(
    listing.images.map(([key, name], i) => {
      const { found } = read[i] as ReadCaptions;
      const listed = metadata.get(normalized(name));
      return {
        key,
        path: join(path, name),
        ...(listed && isBetter(listed, found) ? listed : found),
      };
    }),
  );
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
  const images: string[] = [];
  const captions: string[] = [];
  const metadata: string[] = [];
  for (const name of names) {
    const extension = extensionOf(name);
    const role = roleOf(extension);
    if (role === 'image') images.push(name);
    else if (role === 'other-image') faults?.record({ kind: 'image-ending', where: join(path, name) });
    else if (isMetadata(name)) metadata.push(name);
    else if (role === 'other') faults?.record({ kind: 'other-file', where: join(path, name) });
    else captions.push(name);
  }
  if (images.length === 0) throw noImages(path, names.length);
  return { images: keyed(path, images, faults), captions: groupCaptions(captions), metadata };
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
