// What earlier runs have left in a folder of token shards: their records of finished shards, and whether these are whole
// and of the same layout.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError, UsageError } from '../../util/errors.ts';
import { storageError } from '../../util/files.ts';
import {
  DamagedTokensError,
  MANIFEST,
  readManifest,
  type ShardLayout,
  type ShardRecord,
  shardNumber,
  type TokenManifest,
} from './manifest.ts';
import { readShard } from './read.ts';
import { isPartialManifest } from './share.ts';

/** A manifest in a folder: of all of it, or of a part of it. */
export interface Recorded {
  readonly name: string;
  readonly manifest: TokenManifest;
}

/** The manifests in a folder: of all of it, and of parts of it. */
export async function readRecords(path: string, names: readonly string[]): Promise<Recorded[]> {
  const records: Recorded[] = [];
  for (const name of names.filter((name) => name === MANIFEST || isPartialManifest(name)).sort()) {
    const manifest = await readManifest(join(path, name));
    if (manifest) records.push({ name, manifest });
  }
  return records;
}

export const recordsByShard = (records: readonly Recorded[]): Map<number, ShardRecord> =>
  new Map(
    records.flatMap(({ manifest: { shards } }) => shards.map((record) => [shardNumber(record.file), record])),
  );

/** The file names in a folder; none when it does not exist. */
export async function listNames(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return [];
    if (code === 'ENOTDIR')
      throw new UsageError('this is a file, not a folder', {
        code: 'E_NOT_A_FOLDER',
        where: path,
        fix: 'name another folder',
      });
    throw storageError(error, path);
  }
}

/** The fix for each part of the layout that differs. */
const OTHER_DVAE = 'name the dVAE checkpoint that made the finished shards';
const LAYOUT_FIXES: Readonly<Record<keyof ShardLayout, string>> = {
  dvae: OTHER_DVAE,
  imageSize: OTHER_DVAE,
  grid: OTHER_DVAE,
  vocabulary: OTHER_DVAE,
  shardSize: 'give the `shardSize` of the finished shards',
  source: 'restore the images and captions',
};

/** @throws DataError naming the part of the layout that differs */
export function assertSameLayout(previous: TokenManifest, layout: ShardLayout, path: string): void {
  for (const key of Object.keys(LAYOUT_FIXES) as (keyof ShardLayout)[]) {
    if (previous[key] === layout[key]) continue;
    const what = key === 'source' ? 'hash of the images’ names and captions' : key;
    throw new DataError(
      `the finished shards have the ${what} ${previous[key]}; this run has ${layout[key]}`,
      {
        code: 'E_LAYOUT_DIFFERS',
        where: path,
        fix: `${LAYOUT_FIXES[key]}, or tokenize into another folder`,
      },
    );
  }
}

/** The shards that are as they were written; the others are said. */
export async function undamagedShards(
  path: string,
  shards: readonly ShardRecord[],
  warn: (message: string) => void,
): Promise<ShardRecord[]> {
  const undamaged: ShardRecord[] = [];
  for (const shard of shards) {
    try {
      await readShard(path, shard);
      undamaged.push(shard);
    } catch (error) {
      if (!(error instanceof DamagedTokensError)) throw error;
      warn(`${shard.file} is made again: ${error.message}`);
    }
  }
  return undamaged;
}
