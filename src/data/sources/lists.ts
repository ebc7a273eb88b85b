// Lists of images and captions: tables with a header line, JSON, and plain lines of paths. Paths in a list are relative
// to the list.

import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import { printable } from '../../util/printable.ts';
import type { CaptionedImage } from '../image.ts';
import { cellCaptions, decodeText, EncodingError } from './captions.ts';
import { extensionOf, IMAGE_EXTENSIONS, stemOf } from './endings.ts';
import type { Faults } from './faults.ts';
import { jsonEntries } from './json-lists.ts';
import {
  type BadEntry,
  badRow,
  columnNames,
  type Entry,
  findColumn,
  isBad,
  type ListEntries,
  noImage,
} from './list-entries.ts';
import { inPlace, type OpenPart, type ReadOptions, type SourcePart, type TableOptions } from './source.ts';
import { readTable } from './table.ts';

/** JavaScript's longest text is just longer. */
const MAX_LIST_BYTES = 2 ** 29 - 2 ** 20;

export const isList = (path: string): boolean => /\.(csv|tsv|tab|jsonl|ndjson|json|txt|lst)$/i.test(path);

export const listPart = (path: string): SourcePart => ({
  path,
  access: 'direct',
  read: (options) => readListPart(path, options),
});

/** A list that came through a pipe: its paths are relative to the working folder. @param copy the file that has it */
export const readPipedList = (copy: string, options: ReadOptions): Promise<OpenPart> =>
  readListPart('-', options, copy);

async function readListPart(path: string, options: ReadOptions, copy = path): Promise<OpenPart> {
  const { captions, faults, table } = options;
  const images = await readListImages(path, { faults, table, copy });
  if (images.length === 0) {
    const [bad] = faults?.counts.find(({ kind }) => kind === 'list-row')?.examples ?? [];
    throw new DataError(bad ? `the list names no image: ${bad.reason}` : 'the list names no image', {
      code: 'E_NO_IMAGES',
      where: bad?.where ?? path,
      fix: 'give it a line for each image',
    });
  }
  return inPlace(captions === 'ignore' ? images.map((image) => ({ ...image, captions: [] })) : images);
}

/**
 * The images that a list names, which may be none. `copy` is the file to read where it is not the list's own.
 * @param isBeside the list is about images of a folder, which records twins itself
 * @throws DataError when it is no list
 */
export async function readListImages(
  path: string,
  { faults, table, copy = path }: Pick<ReadOptions, 'faults' | 'table'> & { readonly copy?: string },
  isBeside = false,
): Promise<CaptionedImage[]> {
  const { text, isLossy } = await readListText(copy);
  return toImages(path, entriesOf(path, text, table, faults), { isLossy, faults, isBeside });
}

/**
 * The text of a list; of one that is not UTF-8, with U+FFFD instead of the bytes that are none.
 * @param what the list in words, for messages
 * @throws DataError when it cannot be read, or is no text
 */
export async function readListText(path: string, what = 'list'): Promise<{ text: string; isLossy: boolean }> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw readError(cause, path, what);
  });
  if (bytes.length > MAX_LIST_BYTES)
    throw new DataError(`the ${what} has ${bytes.length} bytes; at most ${MAX_LIST_BYTES} are read`, {
      code: 'E_LIST_TOO_LARGE',
      where: path,
      fix: 'split it, and name the parts by a pattern: list-{0..9}.csv',
    });
  try {
    return { text: decodeText(bytes), isLossy: false };
  } catch (cause) {
    if (!(cause instanceof EncodingError)) throw cause;
    if (!bytes.includes(0)) return { text: bytes.toString('utf8'), isLossy: true };
    throw new DataError(`the ${what} is not a text file`, {
      code: 'E_NOT_TEXT',
      where: path,
      fix: 'save it as UTF-8 text',
      cause,
    });
  }
}

function entriesOf(
  path: string,
  text: string,
  table: TableOptions | undefined,
  faults?: Faults,
): ListEntries {
  const extension = extensionOf(path);
  if (/json$/.test(extension) || extension === '.jsonl' || /^\s*[[{]/.test(text))
    return jsonEntries(path, text, columnNames(table));
  return tableEntries(path, text, table, faults);
}

function tableEntries(path: string, text: string, options: TableOptions = {}, faults?: Faults): ListEntries {
  const names = columnNames(options);
  const { header, rows, separator, keepsQuotes } = readTable(text, {
    separator: options.separator,
    isWanted: (name) => findColumn([name], names.image) === 0,
  });
  const [file, caption, label] = [names.image, names.caption, names.label].map((some) =>
    findColumn(header, some),
  );
  if (file === -1) {
    // Lines of paths, without a header.
    const lines = [{ cells: header, line: 1 }, ...rows];
    if (options.imageColumn === undefined && lines.every(({ cells }) => isPath(cells)))
      return lines.map(({ cells: [name], line }) => ({
        file: name as string,
        captions: [],
        where: `${path}:${line}`,
      }));
    throw noImageColumn(header, path, separator, options.imageColumn);
  }
  if (options.captionColumn !== undefined && caption === -1)
    throw noColumn(options.captionColumn, 'captionColumn', header, path);
  if (keepsQuotes) faults?.record({ kind: 'quotes-kept', where: path });
  return rows.map(({ cells, line }) => {
    const where = `${path}:${line}`;
    const name = cells[file as number];
    if (cells.length > header.length)
      return badRow(where, `it has ${cells.length} cells, the header has ${header.length}`);
    if (!name) return noImage(where);
    const named = cells[label as number]?.trim();
    return {
      file: name,
      captions: cellCaptions(cells[caption as number] ?? ''),
      where,
      ...(named && { label: named }),
    };
  });
}

const isPath = (cells: readonly string[]): boolean =>
  cells.length === 1 && IMAGE_EXTENSIONS.has(extensionOf((cells[0] as string).trim()));

interface ListContext {
  readonly isLossy: boolean;
  readonly faults: Faults | undefined;
  readonly isBeside: boolean;
}

/** The images of the entries, each once, with the captions of all its entries. */
function toImages(
  path: string,
  entries: ListEntries,
  { isLossy, faults, isBeside }: ListContext,
): CaptionedImage[] {
  const images = new Map<string, Entry & { readonly at: string; readonly isUnreadable: boolean }>();
  for (const entry of entries) {
    const bad = isBad(entry) ? entry : unusable(entry, isLossy);
    if (bad !== undefined || isBad(entry)) {
      faults?.record(bad ?? (entry as BadEntry));
      continue;
    }
    const { file, captions, where, ...more } = entry;
    const at = isAbsolute(file) ? file : join(dirname(path), file);
    const earlier = images.get(at);
    const isUnreadable = isLossy && captions.some((caption) => caption.includes('\uFFFD'));
    if (isUnreadable)
      faults?.record({ kind: 'unreadable-caption', where, reason: 'not UTF-8 text; save the list as UTF-8' });
    const own = isUnreadable ? [] : captions;
    images.set(at, {
      ...more,
      file,
      where,
      at,
      isUnreadable,
      captions: [...(earlier?.captions ?? []), ...own],
    });
  }
  return withKeys(path, [...images.values()], isBeside ? undefined : faults).map(
    ([key, { at, captions, isUnreadable, label, split }]) => ({
      key,
      path: at,
      captions,
      ...(captions.length === 0 && isUnreadable && ({ lack: 'unreadable-caption' } as const)),
      ...(label !== undefined && { label }),
      ...(split !== undefined && { split }),
    }),
  );
}

function unusable({ file, where }: Entry, isLossy: boolean): BadEntry | undefined {
  if (/^[a-z][a-z0-9+]*:\/\//i.test(file))
    return badRow(where, 'it names a URL; download the images first, as img2dataset does');
  if (isLossy && file.includes('\uFFFD')) return badRow(where, 'the name of its image is not UTF-8 text');
  return file.includes('\0') ? badRow(where, 'the name of its image has a zero byte') : undefined;
}

/** Keys: paths relative to the list without the extension, and with it where several images share the rest. */
function withKeys<T extends { readonly at: string }>(
  path: string,
  images: readonly T[],
  faults?: Faults,
): [string, T][] {
  const names = images.map(({ at }) => relative(dirname(path), at).split(sep).join('/'));
  const count = new Map<string, number>();
  for (const name of names) count.set(stemOf(name), (count.get(stemOf(name)) ?? 0) + 1);
  return images.map((image, i) => {
    const name = names[i] as string;
    if (count.get(stemOf(name)) === 1) return [stemOf(name), image];
    faults?.record({ kind: 'twin', where: image.at });
    return [name, image];
  });
}

function noImageColumn(
  header: readonly string[],
  path: string,
  separator: string,
  wanted?: string,
): DataError {
  if (wanted !== undefined) return noColumn(wanted, 'imageColumn', header, path);
  const columns =
    header.length > 1
      ? ` (its columns, between ${JSON.stringify(separator)}: ${printable(header.join(', '))})`
      : '';
  return new DataError(`no column names the images${columns}`, {
    code: 'E_NO_IMAGE_COLUMN',
    where: `${path}:1`,
    fix: `name the column with \`imageColumn\`, or call it ${columnNames().image.slice(0, 6).join(', ')}`,
  });
}

const noColumn = (name: string, option: string, header: readonly string[], path: string): DataError =>
  new DataError(`the table has no column ${name}; it has ${printable(header.join(', '))}`, {
    code: 'E_NO_COLUMN',
    option,
    where: `${path}:1`,
    fix: 'name one of its columns',
  });
