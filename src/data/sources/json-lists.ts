// Lists in JSON: a line or an array of records, COCO captions, and Karpathy's splits.

import { existsSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { DataError } from '../../util/errors.ts';
import { cellCaptions, notJson, recordCaptions } from './captions.ts';
import { badRow, type ColumnNames, type Entry, type ListEntries, noImage } from './list-entries.ts';

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The entries of a list in JSON; its kind is found by looking.
 * @throws DataError when it is no such list
 */
export function jsonEntries(path: string, text: string, names: ColumnNames): ListEntries {
  let whole: unknown;
  try {
    whole = JSON.parse(text);
  } catch (cause) {
    return jsonLines(path, text, names, cause);
  }
  if (Array.isArray(whole)) return whole.map((record, i) => recordEntry(record, `${path}[${i}]`, names));
  if (!isFields(whole)) throw notAList(path);
  if (Array.isArray(whole.images))
    return Array.isArray(whole.annotations) ? coco(path, whole) : karpathy(path, whole);
  if (!text.trim().includes('\n')) return [recordEntry(whole, `${path}:1`, names)]; // one line of JSON lines
  throw notAList(path);
}

const notAList = (where: string, cause?: unknown): DataError =>
  new DataError('not a list of images', {
    code: 'E_NOT_A_LIST',
    where,
    fix: 'lists in JSON are an array or lines of {"image": …, "caption": …}, COCO captions, or Karpathy’s splits',
    cause,
  });

function jsonLines(path: string, text: string, names: ColumnNames, cause: unknown): ListEntries {
  let sound = 0;
  const entries = text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    const where = `${path}:${i + 1}`;
    try {
      const entry = recordEntry(JSON.parse(line), where, names);
      sound++;
      return [entry];
    } catch (error) {
      return [badRow(where, notJson(error))];
    }
  });
  if (sound > 0) return entries;
  throw new DataError(notJson(cause), {
    code: 'E_NOT_JSON',
    where: entries[0]?.where ?? path,
    fix: 'correct it; JSON lines have a whole object on each line',
    cause,
  });
}

function recordEntry(record: unknown, where: string, names: ColumnNames): ListEntries[number] {
  if (!isFields(record)) return badRow(where, 'it is no JSON object');
  const lower = new Map(Object.entries(record).map(([key, value]) => [key.toLowerCase(), value]));
  const first = (keys: readonly string[]): unknown =>
    keys.map((key) => lower.get(key)).find((v) => typeof v === 'string' || typeof v === 'number');
  const file = first(names.image);
  if (typeof file !== 'string' || file === '') return noImage(where);
  const captions = names.caption
    .map((name) => recordCaptions(Object.fromEntries(lower), name))
    .find((c) => c.length > 0);
  const label = first(names.label);
  return { file, captions: captions ?? [], where, ...(label !== undefined && { label: String(label) }) };
}

/** COCO captions: the images lie beside the list or in the folder it is named for, as with captions_val2017.json. */
function coco(path: string, whole: Fields): ListEntries {
  const captions = new Map<unknown, string[]>();
  for (const annotation of whole.annotations as unknown[]) {
    if (!isFields(annotation) || typeof annotation.caption !== 'string') continue;
    // In COCO, line breaks do not separate captions.
    const lines = cellCaptions(annotation.caption.replaceAll(/\s*\n\s*/g, ' '));
    captions.set(annotation.image_id, [...(captions.get(annotation.image_id) ?? []), ...lines]);
  }
  return located(
    path,
    (whole.images as unknown[]).map((image, i) => {
      const where = `${path}: images[${i}]`;
      if (!isFields(image) || typeof image.file_name !== 'string') return noImage(where);
      return { file: image.file_name, captions: captions.get(image.id) ?? [], where };
    }),
  );
}

const SPLITS: Readonly<Record<string, NonNullable<Entry['split']>>> = {
  train: 'train',
  restval: 'train',
  val: 'validation',
  test: 'test',
};

/** Karpathy's splits (arXiv 1412.2306): `restval` is training data, as is usual. */
function karpathy(path: string, whole: Fields): ListEntries {
  return located(
    path,
    (whole.images as unknown[]).map((image, i) => {
      const where = `${path}: images[${i}]`;
      if (!isFields(image) || typeof image.filename !== 'string') return noImage(where);
      const { filename, filepath, sentences, split } = image;
      const captions = (Array.isArray(sentences) ? sentences : []).flatMap((sentence: unknown) =>
        recordCaptions(isFields(sentence) ? sentence : {}, 'raw'),
      );
      return {
        file: typeof filepath === 'string' ? join(filepath, filename) : filename,
        captions,
        where,
        split: SPLITS[String(split)],
      };
    }),
  );
}

/** The entries with the folder of their images, relative to the list: the one that holds the first image. */
function located(path: string, entries: ListEntries): ListEntries {
  const first = entries.find((entry): entry is Entry => 'file' in entry)?.file ?? '';
  const split = basename(path, extname(path)).replace(/^.*_/, '');
  const folders = ['.', join('..', split), 'images', join('..', 'images'), join('..', 'images', split), '..'];
  const folder = folders.find((candidate) => existsSync(join(dirname(path), candidate, first)));
  if (folder !== undefined) {
    return entries.map((entry) => ('file' in entry ? { ...entry, file: join(folder, entry.file) } : entry));
  }
  const searched = folders.map((candidate) => join(dirname(path), candidate)).join(', ');
  throw new DataError(`the images are in none of ${searched}`, {
    code: 'E_NO_IMAGES',
    where: path,
    fix: `put the list beside its images; the first is ${first}`,
  });
}
