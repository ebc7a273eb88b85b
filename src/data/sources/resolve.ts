// Where captioned images come from: a folder, WebDataset tars, or a list.

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DataError, UsageError } from '../../util/errors.ts';
import type { CaptionedImage } from '../image.ts';
import { isArchive, isPackedArchive, readArchives } from './archive.ts';
import { keepCaptioned, listFolder, type ReadOptions, readFolder } from './folder.ts';
import { isList, readList } from './lists.ts';

/** In words, for flags. */
export const SOURCES =
  'a folder of images, WebDataset tars (a tar, a folder of them, or tars-{000..012}.tar), or a CSV, TSV, JSONL or COCO list';

/** The folder that names of a source's files are relative to. */
export async function baseFolder(path: string): Promise<string> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ? path : dirname(path);
}

/**
 * The images of a source, in an order that follows from its contents.
 * @throws DataError when there is no such source, no image in it, or it is damaged; see `readFolder`
 */
export async function readImages(path: string, options: ReadOptions): Promise<CaptionedImage[]> {
  const archives = await archivesOf(path);
  if (archives === undefined && !isList(path)) return readFolder(path, options);
  const images = archives
    ? await readArchives(archives, options.captions !== 'ignore')
    : await readList(path);
  if (images.length === 0)
    throw new DataError('the archives hold no image', { where: path, fix: 'name other archives' });
  return keepCaptioned(
    images.map((image) => ({ image, reason: 'it has no caption' })),
    options,
  );
}

/** The tars that a path stands for, sorted; undefined where it stands for something else. */
export async function archivesOf(path: string): Promise<string[] | undefined> {
  if (isPackedArchive(path)) {
    throw new UsageError('a compressed archive cannot be read at random', {
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
      where: path,
      fix: 'put the tars in a folder of their own, or name them by a pattern: tars-{000..012}.tar',
    });
  }
  return archives.map((name) => join(path, name));
}

/** PREFIX-{000..012}.tar, as WebDataset's users write it. */
function expandBraces(path: string): string[] {
  const [whole, from, to] = /\{(\d+)\.\.(\d+)\}/.exec(basename(path)) ?? [];
  if (whole === undefined || from === undefined || to === undefined) return [path];
  const count = Number(to) - Number(from) + 1;
  if (count < 1 || count > 1_000_000) {
    throw new UsageError(`${whole} stands for no archives`, {
      where: path,
      fix: 'count upwards: {000..012}',
    });
  }
  return Array.from({ length: count }, (_, i) =>
    join(dirname(path), basename(path).replace(whole, String(Number(from) + i).padStart(from.length, '0'))),
  );
}
