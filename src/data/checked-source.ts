// All contents of a source of images, for `mm data check`: damaged parts are listed instead of thrown.

import { relative } from 'node:path';
import { mapConcurrently } from '../util/concurrent.ts';
import { DataError } from '../util/errors.ts';
import type { CaptionedImage, ImageFile } from './image.ts';
import { readArchives } from './sources/archive.ts';
import { listFolder, readCaptions } from './sources/folder.ts';
import { isList, readList } from './sources/lists.ts';
import { archivesOf, baseFolder } from './sources/resolve.ts';

export interface CheckedImage {
  /** Relative to the source's folder. */
  readonly file: string;
  readonly image: ImageFile;
  /** The file of its captions; the image's own file where they are missing or in a list. */
  readonly captionFile: string;
  /** At least one, or why there is none. */
  readonly captions: readonly string[] | 'missing' | 'empty' | 'unreadable';
}

export interface CheckedSource {
  readonly images: readonly CheckedImage[];
  /** Captions without an image. */
  readonly orphanCaptions: readonly string[];
  /** Archives that cannot be read. */
  readonly damagedArchives: readonly { readonly file: string; readonly reason: string }[];
}

/** Bound on open caption files. */
const MAX_OPEN_CAPTIONS = 32;

/**
 * Lists the contents of a folder, of tars or of a list.
 * @throws DataError when there is no such source, no image in it, or a list is damaged
 */
export async function readSource(path: string): Promise<CheckedSource> {
  const base = await baseFolder(path);
  const archives = await archivesOf(path);
  if (archives) return readTars(archives, base);
  if (!isList(path)) return readFolderSource(path);
  return { images: (await readList(path)).map(listed(base)), orphanCaptions: [], damagedArchives: [] };
}

const listed =
  (base: string) =>
  (image: CaptionedImage): CheckedImage => {
    const file = relative(base, image.path);
    const { captions } = image;
    return { file, image, captionFile: file, captions: captions.length > 0 ? captions : 'missing' };
  };

async function readTars(archives: readonly string[], base: string): Promise<CheckedSource> {
  const images: CheckedImage[] = [];
  const orphanCaptions: string[] = [];
  const damagedArchives: { file: string; reason: string }[] = [];
  for (const archive of archives) {
    try {
      images.push(...(await readArchives([archive], true, orphanCaptions)).map(listed(base)));
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      damagedArchives.push({ file: relative(base, archive), reason: error.message });
    }
  }
  return {
    images,
    orphanCaptions: orphanCaptions.map((name) => relative(base, name)),
    damagedArchives,
  };
}

async function readFolderSource(path: string): Promise<CheckedSource> {
  const listing = await listFolder(path);
  const images = await mapConcurrently(
    [...listing.images],
    MAX_OPEN_CAPTIONS,
    async ([key, image]): Promise<CheckedImage> => {
      const file = relative(path, image);
      const text = listing.captions.get(key);
      if (text === undefined) return { file, image: { path: image }, captionFile: file, captions: 'missing' };
      const lines = await readCaptions(text).catch(() => undefined);
      const captions = lines === undefined ? 'unreadable' : lines.length === 0 ? 'empty' : lines;
      return { file, image: { path: image }, captionFile: relative(path, text), captions };
    },
  );
  const orphanCaptions = [...listing.captions]
    .filter(([key]) => !listing.images.has(key))
    .map(([, caption]) => relative(path, caption));
  return { images, orphanCaptions, damagedArchives: [] };
}
