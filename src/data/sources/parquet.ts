// Parquet: tables of captions and paths, and tables that hold the images themselves, as Hugging Face's data sets and
// img2dataset write them. Images inside are copied into temporary storage, a row group at a time.

import { type FileHandle, open, rm } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { type FileMetaData, parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import { DataError } from '../../util/errors.ts';
import { storageError } from '../../util/files.ts';
import { printable } from '../../util/printable.ts';
import type { CaptionedImage } from '../image.ts';
import { cellCaptions, decodeText, EncodingError } from './captions.ts';
import { stemOf } from './endings.ts';
import { columnNames, findColumn } from './list-entries.ts';
import { assertColumns, MAX_GROUP_BYTES, type OpenBuffer, openBuffer } from './parquet-file.ts';
import type { OpenPart, ReadOptions, SourcePart } from './source.ts';
import { temporaryFile } from './spool.ts';

/** Columns that hold images themselves, besides those that name them. */
const BYTE_NAMES = ['jpg', 'jpeg', 'png', 'webp', 'bytes', 'image_bytes', 'content'];
/** Rows read at a time. */
const ROWS = 1000;
const KEY_DIGITS = 9;

/** @param prefix the first part of its images' keys, where the images are inside */
export const parquetPart = (path: string, prefix: string): SourcePart => ({
  path,
  access: 'copied',
  read: (options) => readParquet(path, prefix, options),
});

interface Columns {
  readonly image: string;
  readonly caption: string | undefined;
  readonly label: string | undefined;
}

async function readParquet(path: string, prefix: string, options: ReadOptions): Promise<OpenPart> {
  const file = openBuffer(path);
  try {
    return await readRows(path, prefix, file, options);
  } finally {
    file.close();
  }
}

async function readRows(
  path: string,
  prefix: string,
  file: OpenBuffer,
  options: ReadOptions,
): Promise<OpenPart> {
  const { faults, signal, captions } = options;
  const metadata = await readMetadata(path, file);
  const columns = findColumns(path, metadata, options);
  const names = [columns.image, ...(captions === 'ignore' ? [] : [columns.caption]), columns.label];
  const images: CaptionedImage[] = [];
  const copy = new Copy();
  try {
    let start = 0;
    for (const { num_rows, total_byte_size } of metadata.row_groups) {
      if (Number(total_byte_size) > MAX_GROUP_BYTES)
        throw damaged(
          path,
          new Error(`a row group of ${total_byte_size} bytes; at most ${MAX_GROUP_BYTES} are read`),
        );
      const end = start + Number(num_rows);
      for (let row = start; row < end; row += ROWS) {
        signal?.throwIfAborted();
        const rows = await parquetReadObjects({
          file,
          metadata,
          columns: names.filter((name) => name !== undefined),
          rowStart: row,
          rowEnd: Math.min(end, row + ROWS),
          compressors: file.compressors,
          utf8: false,
        }).catch((cause: unknown) => {
          throw damaged(path, cause);
        });
        if (file.failure) throw damaged(path, file.failure);
        if (rows.length === 0) throw damaged(path, new Error(`no row ${row} of ${end}`));
        for (const [i, values] of rows.entries()) {
          const where = `${path}/${row + i}`;
          const image = await toImage(values, columns, { path, where, prefix, row: row + i, copy });
          if (typeof image === 'string') faults?.record({ kind: 'list-row', where, reason: image });
          else {
            images.push(image.image);
            if (image.reason !== undefined)
              faults?.record({ kind: 'unreadable-caption', where, reason: image.reason });
          }
        }
      }
      start = end;
    }
  } catch (error) {
    await copy.remove();
    throw error;
  }
  await copy.close();
  return { images, close: () => copy.remove() };
}

async function readMetadata(path: string, file: OpenBuffer): Promise<FileMetaData> {
  try {
    const metadata = await parquetMetadataAsync(file);
    assertColumns(metadata, file.byteLength);
    if (file.failure) throw file.failure;
    return metadata;
  } catch (cause) {
    throw damaged(path, cause);
  }
}

interface RowContext {
  readonly path: string;
  readonly where: string;
  readonly prefix: string;
  readonly row: number;
  readonly copy: Copy;
}

/** The image of a row, with the reason why its caption cannot be read; or why the row cannot be used. */
async function toImage(
  values: Readonly<Record<string, unknown>>,
  { image: name, caption, label }: Columns,
  { path, where, prefix, row, copy }: RowContext,
): Promise<{ image: CaptionedImage; reason?: string } | string> {
  const found = captionsIn(caption === undefined ? undefined : values[caption]);
  const text = label === undefined ? undefined : values[label];
  const more = {
    captions: found.captions,
    ...(found.reason !== undefined && ({ lack: 'unreadable-caption' } as const)),
    ...(text !== undefined && text !== null && { label: textOf(text) ?? String(text) }),
  };
  const reason = found.reason === undefined ? {} : { reason: found.reason };
  const value = values[name];
  const bytes = value instanceof Uint8Array ? value : (value as { bytes?: unknown } | null)?.bytes;
  if (bytes instanceof Uint8Array && (value !== bytes || !isPathText(bytes))) {
    const region = await copy.add(bytes);
    const key = `${prefix}/${String(row).padStart(KEY_DIGITS, '0')}`;
    return { image: { key, path: where, region, ...more }, ...reason };
  }
  const file = textOf(bytes ?? (value as { path?: unknown } | null)?.path ?? value);
  if (file === undefined || file === '') return 'it has no image';
  if (/^[a-z][a-z0-9+]*:\/\//i.test(file))
    return 'it names a URL; download the images first, as img2dataset does';
  const at = isAbsolute(file) ? file : join(dirname(path), file);
  return { image: { key: stemOf(file), path: at, ...more }, ...reason };
}

/** Whether bytes are a path and no image: short, and text. */
const isPathText = (bytes: Uint8Array): boolean => bytes.length < 4096 && bytes.every((byte) => byte >= 32);

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!(value instanceof Uint8Array)) return undefined;
  return Buffer.from(value).toString('utf8');
}

function captionsIn(value: unknown): { captions: string[]; reason?: string } {
  const texts = (Array.isArray(value) ? value : [value]).filter(
    (text) => typeof text === 'string' || text instanceof Uint8Array,
  );
  try {
    return {
      captions: texts.flatMap((text) =>
        cellCaptions(typeof text === 'string' ? text : decodeText(text as Uint8Array)),
      ),
    };
  } catch (error) {
    if (!(error instanceof EncodingError)) throw error;
    return { captions: [], reason: error.message };
  }
}

function findColumns(path: string, metadata: FileMetaData, { table }: ReadOptions): Columns {
  const header = parquetSchema(metadata).children.map(({ element }) => element.name);
  const names = columnNames(table);
  const at = (wanted: readonly string[]): string | undefined => header[findColumn(header, wanted)];
  const image = at(table?.imageColumn === undefined ? [...names.image, ...BYTE_NAMES] : names.image);
  if (image === undefined) {
    throw new DataError(`no column holds or names images; there are ${printable(header.join(', '))}`, {
      code: 'E_NO_IMAGE_COLUMN',
      where: path,
      fix: header.includes('url')
        ? 'it lists URLs: download the images first, as img2dataset does'
        : 'name the column with `imageColumn`',
    });
  }
  const caption = at(names.caption);
  if (table?.captionColumn !== undefined && caption === undefined)
    throw new DataError(
      `the table has no column ${table.captionColumn}; it has ${printable(header.join(', '))}`,
      {
        code: 'E_NO_COLUMN',
        option: 'captionColumn',
        where: path,
        fix: 'name one of its columns',
      },
    );
  return { image, caption, label: at(names.label) };
}

const damaged = (where: string, cause: unknown): DataError =>
  new DataError(`not a whole Parquet file: ${printable((cause as Error).message)}`, {
    code: 'E_PARQUET_DAMAGED',
    where,
    fix: 'copy the file again, or leave it out',
    cause,
  });

/** Images one after the other in a temporary file. */
class Copy {
  readonly path = temporaryFile();
  #file: FileHandle | undefined;
  #length = 0;

  async add(bytes: Uint8Array): Promise<{ path: string; offset: number; length: number }> {
    try {
      this.#file ??= await open(this.path, 'wx', 0o600);
      await this.#file.writeFile(bytes);
    } catch (error) {
      throw storageError(error, this.path);
    }
    const region = { path: this.path, offset: this.#length, length: bytes.length };
    this.#length += bytes.length;
    return region;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true });
  }
}
