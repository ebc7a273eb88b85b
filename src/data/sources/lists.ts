// Lists of images and captions: CSV and TSV with a header line, JSON lines, and COCO captions. Paths in a list are
// relative to the list.

import { existsSync } from 'node:fs';
import { basename, dirname, extname, isAbsolute, join, relative, sep } from 'node:path';
import { DataError } from '../../util/errors.ts';
import { readTextFile } from '../../util/files.ts';
import type { CaptionedImage } from '../image.ts';
import { textLines } from './captions.ts';
import { parseCsv } from './csv.ts';
import { duplicateKey } from './folder.ts';

/** Names of columns and keys in the lists of other programs. */
const FILE_NAMES = ['file', 'file_name', 'filename', 'filepath', 'path', 'image', 'image_path'];
const CAPTION_NAMES = ['caption', 'text', 'title'];

export const isList = (path: string): boolean => /\.(csv|tsv|jsonl|json)$/i.test(path);

interface Entry {
  readonly file: string;
  readonly captions: readonly string[];
}

/**
 * The images of a list, in its order. An image may have several captions: as lines of one text, or in several entries.
 * @throws DataError naming the line, when the list is damaged or lacks a column
 */
export async function readList(path: string): Promise<CaptionedImage[]> {
  const entries = entriesOf(path, await readTextFile(path, 'list'));
  const images = new Map<string, CaptionedImage>();
  for (const { file, captions } of entries) {
    const at = isAbsolute(file) ? file : join(dirname(path), file);
    const key = relative(dirname(path), at)
      .slice(0, -extname(at).length || undefined)
      .split(sep)
      .join('/');
    const earlier = images.get(key);
    if (earlier && earlier.path !== at) throw duplicateKey([earlier.path, at], path);
    images.set(key, { key, path: at, captions: [...(earlier?.captions ?? []), ...captions] });
  }
  if (images.size > 0) return [...images.values()];
  throw new DataError('the list names no image', {
    code: 'E_NO_IMAGES',
    where: path,
    fix: 'give it a line for each image',
  });
}

function entriesOf(path: string, text: string): Entry[] {
  switch (extname(path).toLowerCase()) {
    case '.jsonl':
      return jsonLines(path, text);
    case '.json':
      return cocoCaptions(path, text);
    default:
      return tableEntries(path, text);
  }
}

function jsonLines(path: string, text: string): Entry[] {
  return text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    const where = `${path}:${i + 1}`;
    const record = parseJson(line, where) as Record<string, unknown> | null;
    const value = (names: readonly string[]): string | undefined => {
      const found = names.map((name) => record?.[name]).find((v) => typeof v === 'string');
      return found as string | undefined;
    };
    const file = value(FILE_NAMES);
    if (file === undefined) throw missingColumn(FILE_NAMES, where);
    return [{ file, captions: textLines(value(CAPTION_NAMES) ?? '') }];
  });
}

function tableEntries(path: string, text: string): Entry[] {
  const [header, ...rows] = parseCsv(text, /\.tsv$/i.test(path) ? '\t' : ',');
  const column = (names: readonly string[]): number =>
    header?.cells.findIndex((name) => names.includes(name.trim().toLowerCase())) ?? -1;
  const [file, caption] = [column(FILE_NAMES), column(CAPTION_NAMES)];
  if (file === -1) throw missingColumn(FILE_NAMES, `${path}:1`);
  return rows.map(({ cells, line }) => {
    const name = cells[file];
    if (name) return { file: name, captions: textLines(cells[caption] ?? '') };
    throw new DataError(`the row has no cell ${file + 1}, which names the image`, {
      code: 'E_ROW_WITHOUT_IMAGE',
      where: `${path}:${line}`,
      fix: 'give each row as many cells as the header has',
    });
  });
}

/** COCO captions: the images lie beside the list or in the folder it is named for, as with captions_val2017.json. */
function cocoCaptions(path: string, text: string): Entry[] {
  const { images, annotations } = (parseJson(text, path) ?? {}) as {
    images?: { id: number; file_name: string }[];
    annotations?: { image_id: number; caption?: string }[];
  };
  if (!Array.isArray(images) || !Array.isArray(annotations)) {
    throw new DataError('not a list of COCO captions: it has no images and annotations', {
      code: 'E_NOT_A_LIST',
      where: path,
      fix: 'a list of one object a line is JSON lines: name it .jsonl',
    });
  }
  const captions = new Map<number, string[]>();
  for (const { image_id, caption } of annotations) {
    if (typeof caption !== 'string') continue;
    // In COCO, line breaks do not separate captions.
    const lines = textLines(caption.replaceAll(/\s*\n\s*/g, ' '));
    captions.set(image_id, [...(captions.get(image_id) ?? []), ...lines]);
  }
  const folder = cocoFolder(path, images[0]?.file_name ?? '');
  return images.map(({ id, file_name }) => ({
    file: join(folder, file_name),
    captions: captions.get(id) ?? [],
  }));
}

/** The folder of COCO's images, relative to the list: the one that holds the first image. */
function cocoFolder(path: string, first: string): string {
  const split = basename(path, extname(path)).replace(/^.*_/, '');
  const folders = ['.', join('..', split), 'images', join('..', 'images'), join('..', 'images', split)];
  const folder = folders.find((candidate) => existsSync(join(dirname(path), candidate, first)));
  if (folder !== undefined) return folder;
  const searched = folders.map((candidate) => join(dirname(path), candidate)).join(', ');
  throw new DataError(`the images are in none of ${searched}`, {
    code: 'E_NO_IMAGES',
    where: path,
    fix: `put the list beside its images; the first is ${first}`,
  });
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError(`not JSON: ${(cause as Error).message}`, {
      code: 'E_NOT_JSON',
      where,
      fix: 'correct the line',
      cause,
    });
  }
}

const missingColumn = (names: readonly string[], where: string): DataError =>
  new DataError('no image is named here', {
    code: 'E_NO_IMAGE_COLUMN',
    where,
    fix: `name it under ${names.join(', ')}`,
  });
