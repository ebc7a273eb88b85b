// A folder of token shards as it is filled: each shard and the list of those finished are written whole, so that
// whatever ends the program, the next one goes on from the last finished shard.

import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError, UsageError } from '../../util/errors.ts';
import { storageError, writeFileAtomic } from '../../util/files.ts';
import {
  DamagedTokensError,
  MANIFEST,
  makeManifest,
  PARTIAL_MANIFEST,
  readManifest,
  type ShardLayout,
  type ShardRecord,
  type Skipped,
  sha256,
  shardName,
  shardNumber,
  type TokenManifest,
} from './manifest.ts';
import { readShard } from './read.ts';
import { packShard, type TokenSample } from './shard.ts';

/** What an interrupted atomic write leaves. */
const LEFTOVER = /^\.(shard-|manifest\.).*\.tmp$/;

export interface FolderOptions {
  /** Keep the finished shards of the same plan that are there. */
  readonly resume: boolean;
  readonly warn: (message: string) => void;
}

export class TokenFolder {
  readonly #path: string;
  readonly #plan: ShardLayout;
  readonly #shards: Map<number, ShardRecord>;

  private constructor(path: string, plan: ShardLayout, shards: readonly ShardRecord[]) {
    this.#path = path;
    this.#plan = plan;
    this.#shards = new Map(shards.map((record) => [shardNumber(record.file), record]));
  }

  /**
   * Begins the folder, or goes on with it; shards that are there and damaged are forgotten, with a warning.
   * @throws UsageError when the folder holds something else, or shards and `resume` is not set
   * @throws DataError when it was begun with another plan
   */
  static async open(path: string, plan: ShardLayout, { resume, warn }: FolderOptions): Promise<TokenFolder> {
    const names = await listNames(path);
    const previous =
      (await readManifest(join(path, MANIFEST))) ?? (await readManifest(join(path, PARTIAL_MANIFEST)));
    if (!previous && names.some((name) => !LEFTOVER.test(name))) {
      throw new UsageError('the folder is not empty, and holds no token shards', {
        where: path,
        fix: 'name a new or empty folder',
      });
    }
    if (previous && !resume) {
      throw new UsageError('the folder holds token shards already', {
        where: path,
        fix: 'add --resume to keep the finished ones and make the others, or name another folder',
      });
    }
    if (previous) assertSameLayout(previous, plan, path);
    for (const name of names.filter((name) => LEFTOVER.test(name))) await rm(join(path, name));
    const folder = new TokenFolder(path, plan, await undamagedShards(path, previous?.shards ?? [], warn));
    await folder.#save();
    return folder;
  }

  /** Whether a shard is finished. */
  has(shard: number): boolean {
    return this.#shards.has(shard);
  }

  /** Images in the finished shards, those left out included. */
  get done(): number {
    return this.manifest.shards.reduce((sum, { count, skipped }) => sum + count + skipped.length, 0);
  }

  /** Writes a shard. Throws DataError when the storage fails. */
  async write(shard: number, samples: readonly TokenSample[], skipped: readonly Skipped[]): Promise<void> {
    const file = shardName(shard);
    const bytes = await packShard(samples);
    await writeFileAtomic(join(this.#path, file), bytes);
    this.#shards.set(shard, {
      file,
      count: samples.length,
      bytes: bytes.length,
      sha256: sha256(bytes),
      skipped: [...skipped],
    });
    await this.#save();
  }

  /** Declares the folder finished; all shards have to be. */
  async finish(): Promise<TokenManifest> {
    await rename(join(this.#path, PARTIAL_MANIFEST), join(this.#path, MANIFEST));
    return this.manifest;
  }

  /** Of the shards so far. */
  get manifest(): TokenManifest {
    const shards = [...this.#shards].sort(([a], [b]) => a - b).map(([, record]) => record);
    return makeManifest(this.#plan, shards);
  }

  async #save(): Promise<void> {
    const text = `${JSON.stringify(this.manifest, null, 2)}\n`;
    await writeFileAtomic(join(this.#path, PARTIAL_MANIFEST), text);
    await rm(join(this.#path, MANIFEST), { force: true });
  }
}

/** Names in the folder; none when it is not there. */
async function listNames(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return [];
    if (code === 'ENOTDIR')
      throw new UsageError('the folder is a file', { where: path, fix: 'name another folder' });
    throw storageError(error, path);
  }
}

/** What the user can do about a plan that differs. */
const LAYOUT_FIXES: Readonly<Record<keyof ShardLayout, string>> = {
  dvae: 'name the dVAE checkpoint the shards were begun with',
  imageSize: 'name the dVAE checkpoint the shards were begun with',
  grid: 'name the dVAE checkpoint the shards were begun with',
  vocabulary: 'name the dVAE checkpoint the shards were begun with',
  shardSize: 'give the --shard-size they were begun with',
  source: 'restore the images and captions',
};

function assertSameLayout(previous: TokenManifest, plan: ShardLayout, path: string): void {
  for (const key of Object.keys(LAYOUT_FIXES) as (keyof ShardLayout)[]) {
    if (previous[key] === plan[key]) continue;
    const what = key === 'source' ? 'hash of the images’ names and captions' : key;
    throw new DataError(`the shards were begun with ${what} ${previous[key]}, and now it is ${plan[key]}`, {
      where: path,
      fix: `${LAYOUT_FIXES[key]}, or tokenize into another folder`,
    });
  }
}

async function undamagedShards(
  path: string,
  shards: readonly ShardRecord[],
  warn: (message: string) => void,
): Promise<ShardRecord[]> {
  const whole: ShardRecord[] = [];
  for (const shard of shards) {
    try {
      await readShard(path, shard);
      whole.push(shard);
    } catch (error) {
      if (!(error instanceof DamagedTokensError)) throw error;
      warn(`${shard.file} is made again: ${error.message}`);
    }
  }
  return whole;
}
