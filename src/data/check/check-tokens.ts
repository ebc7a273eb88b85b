// What a folder of token shards is like: read shard by shard, with counts and bounded samples in memory.

import { createHash } from 'node:crypto';
import { loadTokenizer } from '../../tokenizers/load.ts';
import { InterruptedError } from '../../util/errors.ts';
import { Int32List } from '../../util/int32-list.ts';
import { MAX_COMPARED, NearCodes } from '../tokens/near-codes.ts';
import { readFinishedManifest, readSamples } from '../tokens/read.ts';
import type { TokenSample } from '../tokens/shard.ts';
import { CaptionTexts, type LongCaption, type TextReport } from './captions.ts';
import type { CheckOptions } from './check.ts';
import { type Copy, limit, type NameOf, SameContents } from './copies.ts';
import { GroupList, type Groups, List, type Listed } from './lists.ts';
import { RecordFile } from './record-file.ts';

export interface TokenReport {
  readonly path: string;
  /** Hash of the dVAE's weights. */
  readonly dvae: string;
  readonly imageSize: number;
  readonly grid: number;
  readonly vocabulary: number;
  readonly shards: number;
  readonly images: number;
  /** Images that could not be encoded, with the reason. */
  readonly skipped: Listed;
  readonly captions: TextReport & {
    /** Images with a caption. */
    readonly count: number;
    readonly several: number;
    readonly missing: Listed;
    /** Captions of more tokens than asked for; of more words without a tokenizer. */
    readonly tooLong: Listed<LongCaption>;
  };
  /** Images with the same codes, and with nearly the same (tokens/near-codes.ts). */
  readonly duplicates: Groups;
  readonly nearDuplicates: Groups;
  /** What was not looked at, in words; empty where all was. */
  readonly limits: readonly string[];
}

export interface CheckedTokens {
  readonly report: TokenReport;
  /** How often each code is used. */
  readonly codeCounts: Float64Array;
  /** The shard of each image that the report lists, and of some images of all parts of the folder, by their keys. */
  readonly shardOf: ReadonlyMap<string, number>;
  readonly some: readonly string[];
}

/** Images from all parts of a folder. */
const SOME = 18;

/**
 * Reads every shard of a folder that `mm tokenize` finished.
 * @throws DataError when a shard is missing or damaged, or there is no such tokenizer; InterruptedError
 */
export async function checkTokens(path: string, options: CheckOptions): Promise<CheckedTokens> {
  const { textLength, progress, signal } = options;
  const tokenizer = options.tokenizer === undefined ? undefined : await loadTokenizer(options.tokenizer);
  const manifest = await readFinishedManifest(path);
  const { dvae, imageSize, grid, vocabulary, images, shards } = manifest;
  const codeCounts = new Float64Array(vocabulary);
  const texts = new CaptionTexts(textLength, tokenizer);
  const [missing, skipped] = [new List(), new List()];
  const tooLong = new List<LongCaption>();
  const same = new SameContents();
  const near = new NearGroups(grid ** 2);
  const seen = new RecordFile<readonly [key: string, shard: number]>();
  const nameOf = async (image: number): Promise<string> => (await seen.get(image))[0];
  const shardOf = new Map<string, number>();
  const some: string[] = [];
  let [captioned, several, last] = [0, 0, -1];
  const add = async (sample: TokenSample, shard: number): Promise<void> => {
    const { key, codes, captions } = sample;
    const image = seen.size;
    await seen.add([key, shard]);
    for (const code of codes) codeCounts[code] = (codeCounts[code] as number) + 1;
    let isListed = captions.length === 0 && missing.add(key);
    if (captions.length > 0) captioned++;
    if (captions.length > 1) several++;
    for (const caption of captions) {
      const long = texts.add(caption);
      if (long && tooLong.add({ file: key, ...long })) isListed = true;
    }
    const hash = createHash('sha256').update(codes).digest();
    const copy = (await same.add(image, key, hash, nameOf)) ?? (await near.add(image, sample, nameOf));
    if (copy?.isListed) {
      isListed = true;
      shardOf.set(...(await seen.get(copy.first)));
    }
    if (image === Math.floor((some.length * images) / Math.min(SOME, images))) {
      some.push(key);
      isListed = true;
    }
    if (isListed) shardOf.set(key, shard);
  };
  progress?.start('checking', images);
  try {
    for (const [i, shard] of shards.entries()) {
      if (signal?.aborted)
        throw new InterruptedError('stopped before every shard was checked', { code: 'E_INTERRUPTED' });
      for (const { file, why } of shard.skipped) skipped.add(`${file}: ${why}`);
      for (const sample of await readSamples(path, shard, manifest, last)) {
        last = sample.index;
        await add(sample, i);
      }
      progress?.update(seen.size);
    }
  } finally {
    progress?.stop();
    await seen.close();
  }
  const report: TokenReport = {
    ...{ path, dvae, imageSize, grid, vocabulary, shards: shards.length, images },
    skipped: skipped.listed,
    captions: {
      ...{ count: captioned, several, missing: missing.listed, tooLong: tooLong.listed },
      ...texts.report,
    },
    duplicates: same.groups,
    nearDuplicates: near.groups,
    limits: [...same.limits, ...near.limits, ...texts.limits],
  };
  return { report, codeCounts, shardOf, some };
}

class NearGroups {
  readonly #near: NearCodes;
  /** The image of each that is kept for comparison. */
  readonly #images = new Int32List();
  readonly #list = new GroupList();

  constructor(length: number) {
    this.#near = new NearCodes(length);
  }

  async add(image: number, { key, codes }: TokenSample, nameOf: NameOf): Promise<Copy | undefined> {
    const found = this.#near.find(codes);
    if ('near' in found) {
      const first = this.#images.at(found.near);
      return { first, isListed: await this.#list.add(first, key, nameOf) };
    }
    if (found.added !== undefined) this.#images.push(image);
    return undefined;
  }

  get groups(): Groups {
    return this.#list.groups;
  }

  get limits(): string[] {
    return limit('near duplicates', this.#near.beyond, MAX_COMPARED);
  }
}
