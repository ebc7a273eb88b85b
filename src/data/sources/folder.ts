// Images of a folder, flat or nested, with the captions beside them.

import { readdir, readFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { mapConcurrently } from '../../util/concurrent.ts';
import { DataError } from '../../util/errors.ts';
import type { CaptionedImage } from '../image.ts';
import { captioned } from './captions.ts';
import type { Faults } from './faults.ts';

export interface ReadOptions {
  /** Whether images without a caption are left out, are kept, or captions are not looked at. */
  readonly captions: 'required' | 'optional' | 'ignore';
  /** Gets the images left out for want of a caption; without it, one such image is an error. */
  readonly faults?: Faults | undefined;
}

export const IMAGE_EXTENSIONS: ReadonlySet<string> = new Set([
  '.jpg',
  '.jpeg',
  '.png',
  '.webp',
  '.avif',
  '.tif',
  '.tiff',
  '.gif',
]);

/** Caption files read at a time. */
const FILES_AT_ONCE = 32;

/** The files of a folder that matter here, by key: path relative to the folder, without the extension. */
export interface FolderListing {
  /** Paths, sorted by key. */
  readonly images: ReadonlyMap<string, string>;
  readonly captions: ReadonlyMap<string, string>;
}

/**
 * What a folder holds. Hidden files are passed over, and links to folders are not followed.
 * @throws DataError when there is no such folder, no image in it, or two images share a key
 */
export async function listFolder(path: string): Promise<FolderListing> {
  const names = await listFiles(path);
  const images = names.filter((name) => IMAGE_EXTENSIONS.has(extname(name).toLowerCase()));
  if (images.length === 0) {
    throw new DataError(
      names.length === 0 ? 'the folder is empty' : `none of the ${names.length} files is an image`,
      {
        where: path,
        fix: `put images in it (${[...IMAGE_EXTENSIONS].join(' ')}), or name another folder`,
      },
    );
  }
  const byKey = (some: readonly string[]): [key: string, path: string][] =>
    some
      .map((name): [string, string] => [keyOf(name), join(path, name)])
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const keyed = byKey(images);
  assertUniqueKeys(keyed, path);
  const texts = names.filter((name) => extname(name).toLowerCase() === '.txt');
  return { images: new Map(keyed), captions: new Map(byKey(texts)) };
}

/**
 * The images of a folder in the order of their keys.
 * @throws DataError as `listFolder` does, and where captions are required but none is there
 */
export async function readFolder(path: string, { captions, faults }: ReadOptions): Promise<CaptionedImage[]> {
  const listing = await listFolder(path);
  const keyed = [...listing.images];
  if (captions === 'ignore') return keyed.map(([key, file]) => ({ key, path: file, caption: undefined }));
  const read = await mapConcurrently(keyed, FILES_AT_ONCE, async ([key, file]) => {
    const text = listing.captions.get(key);
    const lines = text === undefined ? undefined : await readCaptions(text);
    return {
      image: { key, path: file, ...captioned(lines ?? []) },
      reason: lines ? 'its caption is empty' : 'it has no caption',
    };
  });
  return keepCaptioned(read, { captions, faults });
}

/**
 * Of images with the reason why they have no caption, those that the options ask for.
 * @throws DataError as `readFolder` does
 */
export function keepCaptioned(
  read: readonly { readonly image: CaptionedImage; readonly reason: string }[],
  { captions, faults }: ReadOptions,
): CaptionedImage[] {
  const captioned = read.filter(({ image }) => image.caption !== undefined);
  if (captions !== 'required') return read.map(({ image }) => image);
  if (captioned.length === 0 || (captioned.length < read.length && faults === undefined)) {
    const first = read.find(({ image }) => image.caption === undefined)!;
    throw new DataError(
      `${read.length - captioned.length} of ${read.length} images have no caption, or an empty one`,
      {
        where: first.image.path,
        fix: 'each image needs a .txt of the same name beside it; mm data check lists those without',
      },
    );
  }
  for (const { image, reason } of read) if (image.caption === undefined) faults?.record(image.path, reason);
  return captioned.map(({ image }) => image);
}

/**
 * The lines of a caption file that are not blank.
 * @throws DataError when it cannot be read
 */
export async function readCaptions(path: string): Promise<string[]> {
  try {
    return textLines(await readFile(path, 'utf8'));
  } catch (error) {
    throw new DataError(`the caption cannot be read (${(error as NodeJS.ErrnoException).code})`, {
      where: path,
      fix: 'change the permissions of the file, or remove it and its image',
      cause: error,
    });
  }
}

/** The lines of a text that are not blank, without white space around them. */
export const textLines = (text: string): string[] =>
  text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

const keyOf = (name: string): string =>
  name
    .slice(0, name.length - extname(name).length)
    .split(sep)
    .join('/');

async function listFiles(path: string): Promise<string[]> {
  try {
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile() || entry.isSymbolicLink())
      .map((entry) => relative(path, join(entry.parentPath, entry.name)))
      .filter((name) => !name.split(sep).some((part) => part.startsWith('.')));
  } catch (error) {
    const { code, path: at = path } = error as NodeJS.ErrnoException;
    const what =
      code === 'ENOENT'
        ? 'there is no such folder'
        : code === 'ENOTDIR'
          ? 'this is a file, not a folder'
          : `the folder cannot be read (${code})`;
    throw new DataError(what, { where: at, fix: 'name a folder of images', cause: error });
  }
}

/** Two images of one stem would share a caption and overwrite each other's tokens. */
function assertUniqueKeys(keyed: readonly (readonly [key: string, path: string])[], path: string): void {
  const twin = keyed.find(([key], i) => i > 0 && keyed[i - 1]![0] === key);
  if (!twin) return;
  const names = keyed.filter(([key]) => key === twin[0]).map(([, file]) => relative(path, file));
  throw new DataError(`images share a name: ${names.join(', ')}`, {
    where: path,
    fix: 'rename one of them; captions and tokens go by the name without its extension',
  });
}
