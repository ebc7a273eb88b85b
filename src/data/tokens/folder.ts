// A folder of token shards while it is filled. Each shard and the list of finished ones are written atomically, so that
// after any interruption the next run resumes from the last finished shard.

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

/** Temporary files of an interrupted atomic write. */
const LEFTOVER = /^\.(shard-|manifest\.).*\.tmp$/;

export interface FolderOptions {
  /** Keep the finished shards in the folder, which have the same layout. */
  readonly resume: boolean;
  readonly warn: (message: string) => void;
}

export class TokenFolder {
  readonly #path: string;
  readonly #layout: ShardLayout;
  readonly #shards: Map<number, ShardRecord>;

  private constructor(path: string, layout: ShardLayout, shards: readonly ShardRecord[]) {
    this.#path = path;
    this.#layout = layout;
    this.#shards = new Map(shards.map((record) => [shardNumber(record.file), record]));
  }

  /**
   * Creates the folder or resumes it; damaged shards in it are made again, with a warning.
   * @throws UsageError when the folder holds other files, or shards without `resume`
   * @throws DataError when its shards have another layout
   */
  static async open(
    path: string,
    layout: ShardLayout,
    { resume, warn }: FolderOptions,
  ): Promise<TokenFolder> {
    const names = await listNames(path);
    const previous =
      (await readManifest(join(path, MANIFEST))) ?? (await readManifest(join(path, PARTIAL_MANIFEST)));
    if (!previous && names.some((name) => !LEFTOVER.test(name))) {
      throw new UsageError('the folder is not empty, and holds no token shards', {
        code: 'E_FOLDER_NOT_EMPTY',
        where: path,
        fix: 'name a new or empty folder',
      });
    }
    if (previous && !resume) {
      throw new UsageError('the folder holds token shards already', {
        code: 'E_FOLDER_NOT_EMPTY',
        where: path,
        fix: 'set `resume` to keep the finished ones and make the others, or name another folder',
      });
    }
    if (previous) assertSameLayout(previous, layout, path);
    for (const name of names.filter((name) => LEFTOVER.test(name))) await rm(join(path, name));
    const folder = new TokenFolder(path, layout, await undamagedShards(path, previous?.shards ?? [], warn));
    await folder.#save();
    return folder;
  }

  /** Whether a shard is finished. */
  has(shard: number): boolean {
    return this.#shards.has(shard);
  }

  /** Images in the finished shards, the skipped ones included. */
  get done(): number {
    return this.manifest.shards.reduce((sum, { count, skipped }) => sum + count + skipped.length, 0);
  }

  /** Writes a shard atomically. Throws DataError when the storage fails. */
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

  /** Marks the folder as finished; all shards must be. */
  async finish(): Promise<TokenManifest> {
    await rename(join(this.#path, PARTIAL_MANIFEST), join(this.#path, MANIFEST));
    return this.manifest;
  }

  /** The manifest of the finished shards. */
  get manifest(): TokenManifest {
    const shards = [...this.#shards].sort(([a], [b]) => a - b).map(([, record]) => record);
    return makeManifest(this.#layout, shards);
  }

  async #save(): Promise<void> {
    const text = `${JSON.stringify(this.manifest, null, 2)}\n`;
    await writeFileAtomic(join(this.#path, PARTIAL_MANIFEST), text);
    await rm(join(this.#path, MANIFEST), { force: true });
  }
}

/** The file names in a folder; none when it does not exist. */
async function listNames(path: string): Promise<string[]> {
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

function assertSameLayout(previous: TokenManifest, layout: ShardLayout, path: string): void {
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

async function undamagedShards(
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
