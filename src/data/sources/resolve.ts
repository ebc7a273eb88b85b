// Where captioned images come from: a folder, WebDataset tars, or a list.

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DataError, UsageError } from '../../util/errors.ts';
import type { CaptionedImage } from '../image.ts';
import { isArchive, isPackedArchive, readArchives } from './archive.ts';
import { keepCaptioned, listFolder, type ReadOptions, readFolder } from './folder.ts';
import { isList, readList } from './lists.ts';

/** The kinds of sources in words, for the help text. */
export const SOURCES =
  'a folder of images, WebDataset tars (a tar, a folder of them, or tars-{000..012}.tar), or a CSV, TSV, JSONL or COCO list';

/** The folder that the file names of a source are relative to. */
export async function baseFolder(path: string): Promise<string> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ? path : dirname(path);
}

/**
 * The images of a source, in an order that depends on its contents only.
 * @throws DataError when there is no such source, no image in it, or it is damaged; see `readFolder`
 */
export async function readImages(path: string, options: ReadOptions): Promise<CaptionedImage[]> {
  const archives = await archivesOf(path);
  if (archives === undefined && !isList(path)) return readFolder(path, options);
  const images = archives
    ? await readArchives(archives, options.captions !== 'ignore')
    : await readList(path);
  if (images.length === 0)
    throw new DataError('the archives hold no image', {
      code: 'E_NO_IMAGES',
      where: path,
      fix: 'name other archives',
    });
  return keepCaptioned(
    images.map((image) => ({ image, reason: 'it has no caption' })),
    options,
  );
}

/** The tars that a path names, sorted; undefined for another kind of source. */
export async function archivesOf(path: string): Promise<string[] | undefined> {
  if (isPackedArchive(path)) {
    throw new UsageError('a compressed archive has no random access', {
      code: 'E_COMPRESSED_ARCHIVE',
      where: path,
      fix: 'unpack it to a plain .tar (gunzip keeps the tar inside), or extract it into a folder',
    });
  }
  if (isArchive(path)) return expandBraces(path);
  const names = await readdir(path).catch(() => []);
  const archives = names.filter((name) => isArchive(name) && !name.startsWith('.')).sort();
  if (archives.length === 0) return undefined;
  const isFolder = await listFolder(path).then(
    () => true,
    () => false,
  );
  if (isFolder) {
    throw new DataError('the folder holds both images and tars', {
      code: 'E_MIXED_SOURCE',
      where: path,
      fix: 'put the tars in a separate folder, or name them by a pattern: tars-{000..012}.tar',
    });
  }
  return archives.map((name) => join(path, name));
}

/** The names that PREFIX-{000..012}.tar stands for, as in WebDataset. */
function expandBraces(path: string): string[] {
  const [whole, from, to] = /\{(\d+)\.\.(\d+)\}/.exec(basename(path)) ?? [];
  if (whole === undefined || from === undefined || to === undefined) return [path];
  const count = Number(to) - Number(from) + 1;
  if (count < 1 || count > 1_000_000) {
    throw new UsageError(`${whole} stands for no archives`, {
      code: 'E_BAD_PATTERN',
      where: path,
      fix: 'count upwards: {000..012}',
    });
  }
  return Array.from({ length: count }, (_, i) =>
    join(dirname(path), basename(path).replace(whole, String(Number(from) + i).padStart(from.length, '0'))),
  );
}
