// A folder of token shards while it is filled, by one program or by several at once, each with its share. Each shard and
// the list of finished ones are written atomically, so that after any interruption the next run resumes from the last
// finished shard.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../util/errors.ts';
import { writeFileAtomic } from '../../util/files.ts';
import {
  MANIFEST,
  makeManifest,
  PARTIAL_MANIFEST,
  type ShardLayout,
  type ShardRecord,
  type Skipped,
  sha256,
  shardName,
  shardNumber,
  type TokenManifest,
} from './manifest.ts';
import { assertSameLayout, listNames, readRecords, recordsByShard, undamagedShards } from './records.ts';
import { packShard, type TokenSample } from './shard.ts';
import { isPartialManifest, partialManifest, type Share, shardsOf } from './share.ts';

/** Temporary files of an interrupted atomic write. */
const LEFTOVER = /^\.(shard-(\d+)|manifest\.).*\.tmp$/;
/** The record of finished shards is written for each of so many parts of the work: of 100,000 shards it has 20 MB. */
const RECORDS = 256;

export interface FolderOptions {
  /** Keep the finished shards in the folder, which have the same layout. */
  readonly resume: boolean;
  readonly warn: (message: string) => void;
  /** Images of the whole set. */
  readonly images: number;
  /** The shards that are made; the others are made by other programs, in this folder or in another. */
  readonly share?: Share | undefined;
}

/** What a run leaves. */
export interface TokenizedFolder {
  /** Of all shards; of those that are finished where `isWhole` is false. */
  readonly manifest: TokenManifest;
  /** Whether all shards are there; shares of other programs may be missing. */
  readonly isWhole: boolean;
}

export class TokenFolder {
  readonly #path: string;
  readonly #layout: ShardLayout;
  readonly #share: Share | undefined;
  /** Number of shards of the whole set, and those that this run makes. */
  readonly #count: number;
  readonly #range: { readonly from: number; readonly to: number };
  readonly #images: number;
  /** Finished shards of the range. */
  readonly #shards: Map<number, ShardRecord>;
  #unsaved = 0;

  private constructor(
    path: string,
    layout: ShardLayout,
    { images, share }: Pick<FolderOptions, 'images' | 'share'>,
  ) {
    this.#path = path;
    this.#layout = layout;
    this.#share = share;
    this.#images = images;
    this.#count = Math.ceil(images / layout.shardSize);
    this.#range = share ? shardsOf(share, this.#count) : { from: 0, to: this.#count };
    this.#shards = new Map();
  }

  /**
   * Creates the folder or resumes it; damaged shards in it are made again, with a warning.
   * @throws UsageError when the folder holds other files, or shards without `resume`
   * @throws DataError when its shards have another layout
   */
  static async open(
    path: string,
    layout: ShardLayout,
    { resume, warn, ...options }: FolderOptions,
  ): Promise<TokenFolder> {
    const folder = new TokenFolder(path, layout, options);
    const names = await listNames(path);
    const records = await readRecords(path, names);
    if (records.length === 0 && names.some((name) => !LEFTOVER.test(name))) {
      throw new UsageError('the folder is not empty, and holds no token shards', {
        code: 'E_FOLDER_NOT_EMPTY',
        where: path,
        fix: 'name a new or empty folder',
      });
    }
    // Other shares of an unfinished folder are no reason to stop.
    const previous = records.filter(
      ({ name }) => !options.share || name === MANIFEST || name === partialManifest(options.share),
    );
    if (previous.length > 0 && !resume) {
      throw new UsageError('the folder holds token shards already', {
        code: 'E_FOLDER_NOT_EMPTY',
        where: path,
        fix: 'set `resume` to keep the finished ones and make the others, or name another folder',
      });
    }
    for (const { manifest } of records) assertSameLayout(manifest, layout, path);
    for (const name of names) if (folder.#isOwnLeftover(name)) await rm(join(path, name));
    const all = recordsByShard(records);
    const own = [...all].flatMap(([shard, record]) => (folder.#isOwn(shard) ? [record] : []));
    for (const record of await undamagedShards(path, own, warn))
      folder.#shards.set(shardNumber(record.file), record);
    await folder.#start(names, all);
    return folder;
  }

  /** Whether this run has to make a shard. */
  isMissing(shard: number): boolean {
    return this.#isOwn(shard) && !this.#shards.has(shard);
  }

  /** Images of the shards that this run makes or has found, those left out included. */
  get total(): number {
    const { shardSize } = this.#layout;
    const upTo = (shard: number): number => Math.min(this.#images, shard * shardSize);
    return upTo(this.#range.to) - upTo(this.#range.from);
  }

  /** Images in the finished shards of the range, the skipped ones included. */
  get done(): number {
    let sum = 0;
    for (const { count, skipped } of this.#shards.values()) sum += count + skipped.length;
    return sum;
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
    this.#unsaved++;
    if (this.#unsaved * RECORDS >= this.#range.to - this.#range.from) await this.#save();
  }

  /**
   * Marks the folder as finished where all its shards are there, of all shares; all of the own must be.
   * @returns undefined when there is no image in any
   */
  async finish(): Promise<TokenizedFolder | undefined> {
    await this.close();
    const names = await listNames(this.#path);
    const all = recordsByShard(await readRecords(this.#path, names));
    for (const [shard, record] of this.#shards) all.set(shard, record);
    const manifest = this.#manifest(all);
    if (all.size < this.#count) return { manifest, isWhole: false };
    if (manifest.images === 0) return undefined;
    // Two shares that end at once write the same.
    await writeFileAtomic(join(this.#path, MANIFEST), manifestText(manifest));
    for (const name of names.filter(isPartialManifest)) await rm(join(this.#path, name), { force: true });
    return { manifest, isWhole: true };
  }

  /** Records the shards that are finished. */
  async close(): Promise<void> {
    if (this.#unsaved > 0) await this.#save();
  }

  #isOwn(shard: number): boolean {
    return shard >= this.#range.from && shard < this.#range.to;
  }

  /** Files of other shares may be about to get their names. */
  #isOwnLeftover(name: string): boolean {
    const [isLeftover, , shard] = LEFTOVER.exec(name) ?? [];
    if (isLeftover === undefined || !this.#share) return isLeftover !== undefined;
    return shard === undefined
      ? name.startsWith(`.${partialManifest(this.#share)}.`)
      : this.#isOwn(Number(shard));
  }

  /** A finished folder counts as unfinished until this run has ended. */
  async #start(names: readonly string[], all: ReadonlyMap<number, ShardRecord>): Promise<void> {
    if (this.#share && names.includes(MANIFEST)) {
      const others = new Map([...all].filter(([shard]) => !this.#isOwn(shard)));
      await writeFileAtomic(join(this.#path, PARTIAL_MANIFEST), manifestText(this.#manifest(others)));
    }
    await this.#save();
    await rm(join(this.#path, MANIFEST), { force: true });
  }

  #manifest(shards: ReadonlyMap<number, ShardRecord>): TokenManifest {
    return makeManifest(
      this.#layout,
      [...shards].sort(([a], [b]) => a - b).map(([, record]) => record),
    );
  }

  async #save(): Promise<void> {
    this.#unsaved = 0;
    await writeFileAtomic(
      join(this.#path, partialManifest(this.#share)),
      manifestText(this.#manifest(this.#shards)),
    );
  }
}

const manifestText = (manifest: TokenManifest): string => `${JSON.stringify(manifest, null, 2)}\n`;
