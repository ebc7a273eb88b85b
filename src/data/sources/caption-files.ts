// Captions without their images: the lines of a text file, the caption files of a folder, or the captions of any other
// source. Read as a stream.

import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import { isTokenFolder, readTokenFolder } from '../tokens/read.ts';
import { extensionOf, IMAGE_EXTENSIONS, roleOf } from './endings.ts';
import { Faults } from './faults.ts';
import { groupCaptions, readEach } from './folder-captions.ts';
import { isMetadata } from './folder-metadata.ts';
import { columnNames, findColumn } from './list-entries.ts';
import { openSource } from './open-source.ts';
import { readImages } from './resolve.ts';
import type { TableOptions } from './source.ts';
import { walkFolder } from './walk.ts';

/** Longer lines are not captions: the file is not text, or has other line breaks. */
const MAX_LINE = 2 ** 20;
/** Bytes read at a time. */
const CHUNK_BYTES = 2 ** 18;
/** Bytes that are looked at to tell a list of images from captions. */
const HEAD_BYTES = 2 ** 14;

export interface CaptionSource {
  /** Files that the captions come from. */
  readonly files: number;
  /** For progress: bytes of a text file, files of a folder, captions of another source. */
  readonly total: number;
  /** The captions, from the first on each call; `onProgress` gets what is done of `total`. */
  captions(onProgress?: (done: number) => void): AsyncIterable<string>;
}

export interface CaptionSourceOptions {
  readonly faults?: Faults;
  readonly table?: TableOptions | undefined;
  readonly signal?: AbortSignal;
}

/**
 * The captions of a source: a text file has one on each line.
 * @throws DataError when there is no such source, or no caption in it
 */
export async function openCaptions(
  path: string,
  { faults = new Faults(), table, signal }: CaptionSourceOptions = {},
): Promise<CaptionSource> {
  if (await isTokenFolder(path)) {
    const { captions } = await readTokenFolder(path);
    return inMemory(captions.flat(), 1);
  }
  const { parts } = await openSource(path);
  const [only] = parts;
  // Standard input and addresses have none.
  const stats = await stat(path).catch(() => undefined);
  const isNamedText = !/\.(tar|csv|tsv|tab|json|jsonl|ndjson|parquet|gz|tgz)$/i.test(path);
  if (stats?.isFile() && parts.length === 1 && isNamedText && !(await isListOfImages(path)))
    return textFile(path, faults);
  if (parts.length === 1 && only?.path === path && stats?.isDirectory()) {
    const names = await walkFolder(path);
    // A list of captions is read with the images that it names.
    if (!names.some(isMetadata) || !names.some((name) => roleOf(extensionOf(name)) === 'image'))
      return folderCaptions(path, faults);
  }
  const images = await readImages(path, { captions: 'required', faults, table, signal });
  return inMemory(
    images.flatMap(({ captions }) => captions),
    parts.length,
  );
}

/**
 * Whether a text file is a list of images, as every other command takes it, and not captions: it begins with a table's
 * names of columns, with a record, or its first lines are paths of images.
 */
async function isListOfImages(path: string): Promise<boolean> {
  const file = await open(path).catch((cause: unknown) => {
    throw readError(cause, path, 'file');
  });
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const text = buffer.toString('utf8', 0, bytesRead).replace(/^\uFEFF/, '');
    const lines = text.split(/\r?\n/).slice(0, bytesRead < HEAD_BYTES ? undefined : -1);
    const [first = ''] = lines;
    const names = columnNames();
    const cells = first.split(/[,;\t|]/).map((cell) => cell.replace(/^"(.*)"$/, '$1'));
    if (findColumn(cells, names.image) >= 0 && findColumn(cells, names.caption) >= 0) return true;
    if (/^\s*\{.*"\s*:/.test(first)) return true;
    const filled = lines.filter((line) => line.trim() !== '');
    return filled.length > 0 && filled.every((line) => IMAGE_EXTENSIONS.has(extensionOf(line.trim())));
  } finally {
    await file.close();
  }
}

const inMemory = (all: readonly string[], files: number): CaptionSource => ({
  files,
  total: all.length,
  async *captions(onProgress) {
    for (const [i, caption] of all.entries()) {
      yield caption;
      if (i % 1000 === 999) onProgress?.(i + 1);
    }
  },
});

async function textFile(path: string, faults: Faults): Promise<CaptionSource> {
  return {
    files: 1,
    total: (await stat(path)).size,
    captions: (onBytes) => readLines(path, { onBytes, faults }),
  };
}

async function folderCaptions(path: string, faults: Faults): Promise<CaptionSource> {
  const names = (await walkFolder(path, faults)).filter((name) => roleOf(extensionOf(name)) === 'caption');
  const examples = [...groupCaptions(names.sort()).values()];
  if (examples.length === 0) {
    throw new DataError('the folder has no .txt captions', {
      code: 'E_NO_CAPTION',
      where: path,
      fix: 'put captions beside the images, NAME.txt for NAME.png, or name one text file with a caption on each line',
    });
  }
  return {
    files: names.length,
    total: examples.length,
    async *captions(onProgress) {
      let done = 0;
      for await (const { found, fault } of readEach(path, examples)) {
        if (fault) faults.record(fault);
        else if (found.lack === 'empty-caption' && found.captionFile !== undefined)
          faults.record({ kind: 'empty-caption', where: found.captionFile });
        yield* found.captions;
        onProgress?.(++done);
      }
    },
  };
}

const notText = (where: string): DataError =>
  new DataError('not a text file', { code: 'E_NOT_TEXT', where, fix: 'save it as UTF-8 text, or remove it' });

const LINE_FEED = 10;

/**
 * Reads the lines of a text file: UTF-8, or UTF-16 with its mark. A line of other bytes is recorded and left out.
 * @param onBytes called with the number of bytes read so far
 * @throws DataError when the file is not text or cannot be read
 */
export async function* readLines(
  file: string,
  { onBytes, faults }: { onBytes?: ((bytes: number) => void) | undefined; faults?: Faults } = {},
): AsyncGenerator<string> {
  let [line, sound, bad] = [0, 0, 0];
  for await (const bytes of textLinesOf(file, onBytes)) {
    for (const text of decodeLines(bytes)) {
      line++;
      if (text === undefined) {
        bad++;
        faults?.record({ kind: 'unreadable-caption', where: `${file}:${line}`, reason: 'not UTF-8 text' });
        continue;
      }
      if (text.length > 0) sound++;
      yield text;
    }
  }
  if (bad > sound) throw notText(file);
}

/** The lines of some bytes of UTF-8; undefined for one that is something else. */
function decodeLines(bytes: Uint8Array): (string | undefined)[] {
  const decode = (some: Uint8Array): string =>
    new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(some);
  try {
    return decode(bytes).split('\n');
  } catch {
    const lines: (string | undefined)[] = [];
    for (let start = 0; start <= bytes.length; ) {
      const found = bytes.indexOf(LINE_FEED, start);
      const end = found < 0 ? bytes.length : found;
      try {
        lines.push(decode(bytes.subarray(start, end)));
      } catch {
        lines.push(undefined);
      }
      start = end + 1;
    }
    return lines;
  }
}

/** A text file in runs of whole lines, as UTF-8 without their last line feed. */
async function* textLinesOf(file: string, onBytes?: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array(0);
  let read = 0;
  try {
    const stream = createReadStream(file, { highWaterMark: CHUNK_BYTES });
    for await (const chunk of asUtf8(stream as AsyncIterable<Buffer>)) {
      read += chunk.length;
      onBytes?.(read);
      if (chunk.includes(0)) throw notText(file);
      const end = chunk.lastIndexOf(LINE_FEED);
      const whole = Buffer.concat([rest, chunk.subarray(0, Math.max(0, end))]);
      rest = end < 0 ? Buffer.concat([rest, chunk]) : chunk.subarray(end + 1);
      if (rest.length > MAX_LINE) throw notText(file);
      if (end >= 0) yield whole;
    }
  } catch (error) {
    if (error instanceof DataError || (error as NodeJS.ErrnoException).code === undefined) throw error;
    throw readError(error, file, 'file');
  }
  if (rest.length > 0) yield rest;
}

/** The bytes as UTF-8 without a mark. */
async function* asUtf8(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let isFirst = true;
  let wide: InstanceType<typeof TextDecoder> | undefined;
  for await (const chunk of chunks) {
    if (isFirst && chunk[0] === 0xff && chunk[1] === 0xfe) wide = new TextDecoder('utf-16le');
    if (isFirst && chunk[0] === 0xfe && chunk[1] === 0xff) wide = new TextDecoder('utf-16be');
    const hasMark = isFirst && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf;
    isFirst = false;
    if (wide) yield Buffer.from(wide.decode(chunk, { stream: true }));
    else yield hasMark ? chunk.subarray(3) : chunk;
  }
}
