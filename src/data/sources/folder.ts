// Images of a folder, flat or nested, with the caption files beside them or in another folder.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mapConcurrently } from '../../util/concurrent.ts';
import { DataError } from '../../util/errors.ts';
import type { CaptionedImage } from '../image.ts';
import { type CaptionTexts, captionsOf } from './captions.ts';
import {
  CAPTION_EXTENSIONS,
  type CaptionExtension,
  extensionOf,
  IMAGE_EXTENSIONS,
  normalized,
  roleOf,
} from './endings.ts';
import type { Faults } from './faults.ts';
import { keepCaptioned } from './keep-captioned.ts';
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
}

type CaptionFiles = Partial<Record<CaptionExtension, string>>;

export const folderPart = (path: string): SourcePart => ({
  path,
  access: 'direct',
  read: (options) => readFolderPart(path, options),
});

/**
 * The images of a folder in the order of their keys.
 * @throws DataError as `listFolder` and `keepCaptioned` do
 */
export async function readFolder(path: string, options: ReadOptions): Promise<CaptionedImage[]> {
  return keepCaptioned((await folderPart(path).read(options)).images, options);
}

async function readFolderPart(path: string, { captions, faults }: ReadOptions): Promise<OpenPart> {
  const listing = await listFolder(path, faults);
  if (captions === 'ignore') {
    return inPlace(listing.images.map(([key, name]) => ({ key, path: join(path, name), captions: [] })));
  }
  const files = matchCaptions(path, listing, faults);
  return inPlace(
    await mapConcurrently(listing.images, MAX_OPEN_CAPTIONS, async ([key, name], i) => {
      const beside = files[i] as CaptionFiles;
      const { extension, reason, ...found } = captionsOf(await readTexts(path, beside));
      if (reason !== undefined)
        faults?.record({
          kind: 'unreadable-caption',
          where: join(path, beside[extension!] as string),
          reason,
        });
      const captionFile =
        extension === undefined ? {} : { captionFile: join(path, beside[extension] as string) };
      return { key, path: join(path, name), ...found, ...captionFile };
    }),
  );
}

async function readTexts(path: string, files: CaptionFiles): Promise<CaptionTexts> {
  const texts: Partial<Record<CaptionExtension, Uint8Array>> = {};
  for (const extension of CAPTION_EXTENSIONS) {
    const name = files[extension];
    if (name === undefined) continue;
    texts[extension] = await readFile(join(path, name)).catch((cause: NodeJS.ErrnoException) => {
      throw captionError(cause, join(path, name));
    });
    if (extension !== '.cls' && !isBlank(texts[extension])) break;
  }
  return texts;
}

/** Whether a file of captions gives way to the next kind: it has nothing but blanks. */
const isBlank = (bytes: Uint8Array): boolean => bytes.every((byte) => byte <= 32);

const captionError = (cause: NodeJS.ErrnoException, where: string): DataError =>
  new DataError(`the caption cannot be read (${cause.code ?? cause.message})`, {
    code: cause.code === 'EACCES' || cause.code === 'EPERM' ? 'E_NO_PERMISSION' : 'E_UNREADABLE',
    where,
    fix: 'change the file, or remove it and its image',
    cause,
  });

/**
 * Lists a folder and its subfolders, and records what is left out.
 * @throws DataError when there is no such folder, or no image in it
 */
async function listFolder(path: string, faults?: Faults): Promise<Listing> {
  const names = await walkFolder(path, faults);
  const images: string[] = [];
  const captions = new Map<string, CaptionFiles>();
  for (const name of names) {
    const extension = extensionOf(name);
    const role = roleOf(extension);
    if (role === 'image') images.push(name);
    else if (role === 'other-image') faults?.record({ kind: 'image-ending', where: join(path, name) });
    else if (role === 'other') faults?.record({ kind: 'other-file', where: join(path, name) });
    else {
      const stem = normalized(stemOf(name));
      captions.set(stem, { ...captions.get(stem), [extension]: name });
    }
  }
  if (images.length === 0) throw noImages(path, names.length);
  return { images: keyed(path, images, faults), captions };
}

const noImages = (path: string, files: number): DataError =>
  new DataError(files === 0 ? 'the folder is empty' : `none of the ${files} files is an image`, {
    code: 'E_NO_IMAGES',
    where: path,
    fix: `put images in it (${[...IMAGE_EXTENSIONS].join(' ')}), or name another folder`,
  });

export const stemOf = (name: string): string => name.slice(0, name.length - extensionOf(name).length);

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

/**
 * The caption files of each image: those of its name beside it, else those of its path below the first folder, else
 * those of its file name, where one image and one caption have it (images/a.jpg and text/a.txt).
 */
function matchCaptions(path: string, { images, captions }: Listing, faults?: Faults): CaptionFiles[] {
  const stems = images.map(([, name]) => normalized(stemOf(name)));
  const left = new Map(captions);
  for (const stem of stems) left.delete(stem);
  const found = stems.map((stem) => captions.get(stem));
  for (const tail of [belowFirst, fileName]) {
    const byTail = unique([...left.keys()], tail);
    const wanted = unique(
      stems.filter((_, i) => found[i] === undefined),
      tail,
    );
    for (const [i, stem] of stems.entries()) {
      const at = byTail.get(tail(stem));
      if (found[i] !== undefined || !at || !wanted.get(tail(stem))) continue;
      found[i] = left.get(at) as CaptionFiles;
      left.delete(at);
      faults?.record({ kind: 'caption-elsewhere', where: join(path, Object.values(found[i])[0] as string) });
    }
  }
  for (const files of left.values())
    for (const name of Object.values(files)) {
      // A .json beside nothing is a manifest or the like.
      const kind = extensionOf(name) === '.json' ? 'other-file' : 'orphan-caption';
      faults?.record({ kind, where: join(path, name) });
    }
  return found.map((files) => files ?? {});
}

const belowFirst = (stem: string): string => stem.slice(stem.indexOf('/') + 1);
const fileName = (stem: string): string => stem.slice(stem.lastIndexOf('/') + 1);

/** The stem of each tail that one stem alone has; undefined for a tail that several have. */
function unique(stems: readonly string[], tail: (stem: string) => string): Map<string, string | undefined> {
  const byTail = new Map<string, string | undefined>();
  for (const stem of stems) byTail.set(tail(stem), byTail.has(tail(stem)) ? undefined : stem);
  return byTail;
}
