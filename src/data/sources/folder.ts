// Images of a folder, flat or nested, with the caption files beside them.

import { readdir, readFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { mapConcurrently } from '../../util/concurrent.ts';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import type { CaptionedImage } from '../image.ts';
import { textLines } from './captions.ts';
import type { Faults } from './faults.ts';

export interface ReadOptions {
  /** Images without a caption are skipped (`required`) or kept (`optional`); `ignore` reads no captions. */
  readonly captions: 'required' | 'optional' | 'ignore';
  /** Records the images skipped because they have no caption; without it, one such image is an error. */
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

/** Bound on open caption files. */
const MAX_OPEN_CAPTIONS = 32;

/** The images and caption files of a folder, by key: the path relative to the folder, without the extension. */
export interface FolderListing {
  /** Paths, sorted by key. */
  readonly images: ReadonlyMap<string, string>;
  readonly captions: ReadonlyMap<string, string>;
}

/**
 * Lists a folder and its subfolders. Hidden files are skipped, and links to folders are not followed.
 * @throws DataError when there is no such folder, no image in it, or two images share a key
 */
export async function listFolder(path: string): Promise<FolderListing> {
  const names = await listFiles(path);
  const images = names.filter((name) => IMAGE_EXTENSIONS.has(extname(name).toLowerCase()));
  if (images.length === 0) {
    throw new DataError(
      names.length === 0 ? 'the folder is empty' : `none of the ${names.length} files is an image`,
      {
        code: 'E_NO_IMAGES',
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
 * @throws DataError as `listFolder` and `keepCaptioned` do
 */
export async function readFolder(path: string, { captions, faults }: ReadOptions): Promise<CaptionedImage[]> {
  const listing = await listFolder(path);
  const keyed = [...listing.images];
  if (captions === 'ignore') return keyed.map(([key, file]) => ({ key, path: file, captions: [] }));
  const read = await mapConcurrently(keyed, MAX_OPEN_CAPTIONS, async ([key, file]) => {
    const text = listing.captions.get(key);
    const lines = text === undefined ? undefined : await readCaptions(text);
    return {
      image: { key, path: file, captions: lines ?? [] },
      reason: lines ? 'its caption is empty' : 'it has no caption',
    };
  });
  return keepCaptioned(read, { captions, faults });
}

/**
 * Selects the images that the options ask for. Each comes with the reason why it would have no caption.
 * @throws DataError when captions are required and no image has one, or one has none and there is no `faults`
 */
export function keepCaptioned(
  read: readonly { readonly image: CaptionedImage; readonly reason: string }[],
  { captions, faults }: ReadOptions,
): CaptionedImage[] {
  if (captions !== 'required') return read.map(({ image }) => image);
  const bare = read.filter(({ image }) => image.captions.length === 0);
  const [first] = bare;
  if (first && (bare.length === read.length || faults === undefined)) {
    throw new DataError(`${bare.length} of ${read.length} images have no caption, or an empty one`, {
      code: 'E_NO_CAPTION',
      where: first.image.path,
      fix: 'each image needs a .txt of the same name beside it; mm data check lists those without',
    });
  }
  for (const { image, reason } of bare) faults?.record(image.path, reason);
  return read.flatMap(({ image }) => (image.captions.length > 0 ? [image] : []));
}

/**
 * The captions in a file beside an image.
 * @throws DataError when it cannot be read
 */
export async function readCaptions(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw readError(cause, path, 'caption', 'change the file, or remove it and its image');
  });
  return textLines(text);
}

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
    const { code, path: where = path } = error as NodeJS.ErrnoException;
    const fix = 'name a folder of images';
    if (code !== 'ENOTDIR') throw readError(error, where, 'folder', fix);
    throw new DataError('this is a file, not a folder', {
      code: 'E_NOT_A_FOLDER',
      where,
      fix,
      cause: error,
    });
  }
}

/** Images of one key would share a caption and overwrite each other's tokens. */
function assertUniqueKeys(keyed: readonly (readonly [key: string, path: string])[], path: string): void {
  const twin = keyed.find(([key], i) => i > 0 && keyed[i - 1]![0] === key);
  if (!twin) return;
  const names = keyed.filter(([key]) => key === twin[0]).map(([, file]) => relative(path, file));
  throw duplicateKey(names, path);
}

/** The DataError for images of one key in a folder or list. */
export const duplicateKey = (names: readonly string[], where: string): DataError =>
  new DataError(`images share a name: ${names.join(', ')}`, {
    code: 'E_DUPLICATE_KEY',
    where,
    fix: 'rename one of them; captions and tokens go by the name without its extension',
  });
