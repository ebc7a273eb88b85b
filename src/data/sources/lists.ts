// Lists of images and captions: CSV and TSV with a header line, JSON lines, and COCO's captions. Paths in a list are
// relative to the list.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, extname, isAbsolute, join, relative, sep } from 'node:path';
import { DataError } from '../../util/errors.ts';
import type { CaptionedImage } from '../image.ts';
import { captioned, captionsOf } from './captions.ts';
import { textLines } from './folder.ts';

/** Names that columns and keys have in other people's lists. */
const FILE_NAMES = ['file', 'file_name', 'filename', 'filepath', 'path', 'image', 'image_path'];
const CAPTION_NAMES = ['caption', 'text', 'title'];

const NONE = { caption: undefined };

export const isList = (path: string): boolean => /\.(csv|tsv|jsonl|json)$/i.test(path);

interface Row {
  readonly file: string;
  readonly caption: string | undefined;
  /** The line in the list, for messages. */
  readonly where: string;
}

/**
 * The images of a list, in its order. An image may have several captions: as lines of one, or in several entries.
 * @throws DataError naming the line, when the list is damaged or lacks a column
 */
export async function readList(path: string): Promise<CaptionedImage[]> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new DataError(`the list cannot be read (${cause.code})`, {
      where: path,
      fix: 'check the path',
      cause,
    });
  });
  const rows = rowsOf(path, text.replace(/^\uFEFF/, ''));
  const images = new Map<string, CaptionedImage>();
  for (const { file, caption } of rows) {
    const at = isAbsolute(file) ? file : join(dirname(path), file);
    const key = relative(dirname(path), at)
      .slice(0, -extname(at).length || undefined)
      .split(sep)
      .join('/');
    const first = images.get(key);
    if (first && first.path !== at) {
      throw new DataError(`images share a name: ${first.path}, ${at}`, {
        where: path,
        fix: 'rename one of them; captions and tokens go by the name without its extension',
      });
    }
    const captions = [...captionsOf(first ?? NONE), ...textLines(caption ?? '')];
    images.set(key, { key, path: at, ...captioned(captions) });
  }
  if (images.size === 0)
    throw new DataError('the list names no image', { where: path, fix: 'give it a line for each image' });
  return [...images.values()];
}

function rowsOf(path: string, text: string): Row[] {
  switch (extname(path).toLowerCase()) {
    case '.jsonl':
      return jsonLines(path, text);
    case '.json':
      return cocoCaptions(path, text);
    default:
      return table(path, text, /\.tsv$/i.test(path) ? '\t' : ',');
  }
}

function jsonLines(path: string, text: string): Row[] {
  return text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    const where = `${path}:${i + 1}`;
    const record = parseJson(line, where) as Record<string, unknown> | null;
    const value = (names: readonly string[]): string | undefined => {
      const found = names.map((name) => record?.[name]).find((v) => typeof v === 'string');
      return found as string | undefined;
    };
    const file = value(FILE_NAMES);
    if (file === undefined) throw missingColumn('image', FILE_NAMES, where);
    return [{ file, caption: value(CAPTION_NAMES), where }];
  });
}

function table(path: string, text: string, separator: string): Row[] {
  const [header, ...lines] = parseCells(text, separator);
  const column = (names: readonly string[]): number =>
    header?.cells.findIndex((name) => names.includes(name.trim().toLowerCase())) ?? -1;
  const [file, caption] = [column(FILE_NAMES), column(CAPTION_NAMES)];
  if (file === -1) throw missingColumn('image', FILE_NAMES, `${path}:1`);
  return lines.map((line) => {
    const where = `${path}:${line.number}`;
    const name = line.cells[file];
    if (name === undefined || name === '') {
      const fix = 'give each line as many fields as the header has';
      throw new DataError(`the line has no field ${file + 1}, the image`, { where, fix });
    }
    return { file: name, caption: line.cells[caption], where };
  });
}

/** Fields as RFC 4180 has them: quoted ones may hold separators, line breaks, and quotes written twice. */
function parseCells(text: string, separator: string): { cells: string[]; number: number }[] {
  const field = new RegExp(`(?:"((?:[^"]|"")*)"|([^${separator}\\r\\n]*))(${separator}|\\r?\\n|$)`, 'y');
  const lines: { cells: string[]; number: number }[] = [];
  let [number, current]: [number, string[]] = [1, []];
  let start = 1;
  while (field.lastIndex < text.length) {
    const found = field.exec(text);
    if (!found) break;
    const [whole, quoted, plain, end] = found;
    current.push(quoted === undefined ? (plain as string) : quoted.replaceAll('""', '"'));
    number += whole.split('\n').length - 1;
    if (end === separator) continue;
    if (current.length > 1 || current[0] !== '') lines.push({ cells: current, number: start });
    [start, current] = [number, []];
  }
  if (current.length > 0) lines.push({ cells: current, number: start });
  return lines;
}

/** COCO's captions: images lie beside the list, or in the folder its name speaks of, as captions_val2017.json does. */
function cocoCaptions(path: string, text: string): Row[] {
  const { images, annotations } = (parseJson(text, path) ?? {}) as {
    images?: { id: number; file_name: string }[];
    annotations?: { image_id: number; caption?: string }[];
  };
  if (!Array.isArray(images) || !Array.isArray(annotations)) {
    throw new DataError('not a list of COCO captions: it has no images and annotations', {
      where: path,
      fix: 'a list of one object a line is JSON lines: name it .jsonl',
    });
  }
  const split = basename(path, extname(path)).replace(/^.*_/, '');
  const folders = ['.', join('..', split), 'images', join('..', 'images'), join('..', 'images', split)];
  const first = images[0]?.file_name ?? '';
  const folder = folders.find((candidate) => existsSync(join(dirname(path), candidate, first)));
  if (folder === undefined) {
    const searched = folders.map((candidate) => join(dirname(path), candidate)).join(', ');
    throw new DataError(`the images are in none of ${searched}`, {
      where: path,
      fix: `put the list beside its images; the first is ${first}`,
    });
  }
  const captions = new Map<number, string>();
  for (const { image_id, caption } of annotations) {
    if (typeof caption !== 'string') continue;
    const others = captions.get(image_id);
    // One caption may go over several lines here.
    const line = caption.replaceAll(/\s*\n\s*/g, ' ');
    captions.set(image_id, others === undefined ? line : `${others}\n${line}`);
  }
  return images.map(({ id, file_name }) => ({
    file: join(folder, file_name),
    caption: captions.get(id),
    where: path,
  }));
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError(`not JSON: ${(cause as Error).message}`, { where, fix: 'mend the line', cause });
  }
}

const missingColumn = (what: string, names: readonly string[], where: string): DataError =>
  new DataError(`no ${what} is named here`, { where, fix: `name it under ${names.join(', ')}` });
