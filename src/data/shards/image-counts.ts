// The index of a data set that is read shard by shard: how many images each shard has, and nothing about an image.
// It is built once and kept in mm's cache. A shard of another length or date is counted anew, and no other.

import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { mapConcurrently } from '../../util/concurrent.ts';
import { writeFileAtomic } from '../../util/files.ts';

const FORMAT = 'mm-shard-index';
const VERSION = 1;
/** Bounds on files examined at a time, and on shards counted at a time. */
const MAX_OPEN = 16;
const MAX_COUNTED = 4;
/** Shards counted between two writes of the index: a count that is killed is continued from the last. */
const WRITE_EVERY = 2000;

const fileSchema = z.object({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  /** Path, bytes, date of the last change in milliseconds, images. A URL has no bytes and no date: 0. */
  shards: z.array(z.tuple([z.string(), z.number(), z.number(), z.int().min(0)])),
});
type Row = z.output<typeof fileSchema>['shards'][number];

export interface IndexOptions {
  /** Folder of indices. */
  readonly cache: string;
  /** The number of images in the shard at `path`. */
  count(path: string): Promise<number>;
  /** Told how many of the shards have been counted. */
  onProgress?(done: number, total: number): void;
}

/** The file of the index of some shards: the same shards in the same order have the same file. */
export function indexFile(cache: string, paths: readonly string[]): string {
  const hash = createHash('sha256');
  for (const path of paths) hash.update(`${absolute(path)}\n`);
  return join(cache, 'shards', `${hash.digest('hex').slice(0, 32)}.json`);
}

const isUrl = (path: string): boolean => /^\w+:\/\//.test(path);
const absolute = (path: string): string => (isUrl(path) ? path : resolve(path));

/**
 * Images in each shard, in the order of `paths`: from the index, where it has a shard as it is now, else counted.
 * @throws DataError as `count` does, or when the index cannot be written; what was counted before is kept
 */
export async function imageCounts(
  paths: readonly string[],
  { cache, count, onProgress }: IndexOptions,
): Promise<Int32Array> {
  const file = indexFile(cache, paths);
  const known = new Map((await readRows(file)).map((row) => [row[0], row]));
  const rows = await mapConcurrently(paths, MAX_OPEN, async (path): Promise<Row> => {
    const { size, mtimeMs } = isUrl(path) ? { size: 0, mtimeMs: 0 } : await stat(path).catch(() => NOWHERE);
    const row = known.get(absolute(path));
    return row && row[1] === size && row[2] === mtimeMs ? row : [absolute(path), size, mtimeMs, UNKNOWN];
  });
  const uncounted = paths.flatMap((path, i) =>
    (rows[i] as Row)[3] === UNKNOWN ? [[path, rows[i] as Row] as const] : [],
  );
  const save = (): Promise<void> =>
    writeRows(
      file,
      rows.filter(([, , , images]) => images !== UNKNOWN),
    );
  let done = 0;
  try {
    await mapConcurrently(uncounted, MAX_COUNTED, async ([path, row]) => {
      row[3] = await count(path);
      done++;
      onProgress?.(done, uncounted.length);
      if (done % WRITE_EVERY === 0) await save();
    });
  } finally {
    if (done > 0) await save();
  }
  return Int32Array.from(rows, ([, , , images]) => images);
}

const UNKNOWN = -1;
/** Of a file that is not there: counting it says so. */
const NOWHERE = { size: -1, mtimeMs: -1 };

/** The rows of an index; none where there is no index, or one that cannot be read: it is only built again. */
async function readRows(file: string): Promise<Row[]> {
  try {
    return fileSchema.parse(JSON.parse(await readFile(file, 'utf8'))).shards;
  } catch {
    return [];
  }
}

function writeRows(file: string, shards: readonly Row[]): Promise<void> {
  // A row on a line: the file can be read, and one of 100,000 shards has 10 MB.
  const lines = shards.map((row) => JSON.stringify(row)).join(',\n');
  return writeFileAtomic(file, `{"format":"${FORMAT}","version":${VERSION},"shards":[\n${lines}\n]}\n`);
}
