// What a folder of token shards is like: read shard by shard, with counts and bounded samples in memory.

import { createHash } from 'node:crypto';
import { loadTokenizer } from '../../tokenizers/load.ts';
import { InterruptedError } from '../../util/errors.ts';
import { Int32List } from '../../util/int32-list.ts';
import { MAX_COMPARED, NearCodes } from '../tokens/near-codes.ts';
import { readFinishedManifest, readSamples } from '../tokens/read.ts';
import type { TokenSample } from '../tokens/shard.ts';
import { CaptionTexts, type TextReport } from './captions.ts';
import type { CheckOptions } from './check.ts';
import { limit, type NameOf, SameContents } from './copies.ts';
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
    readonly tooLong: Listed;
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
}

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
  const [missing, tooLong, skipped] = [new List(), new List(), new List()];
  const same = new SameContents();
  const near = new NearGroups(grid ** 2);
  const keys = new RecordFile<string>();
  const nameOf = (image: number): Promise<string> => keys.get(image);
  let [captioned, several, done, last] = [0, 0, 0, -1];
  const addCaption = (caption: string, key: string): void => {
    const long = texts.add(caption);
    if (long) tooLong.add(`${key} (${long.tokens ?? long.words})`);
  };
  const compare = async (sample: TokenSample): Promise<void> => {
    const image = keys.size;
    await keys.add(sample.key);
    const hash = createHash('sha256').update(sample.codes).digest();
    const copy = await same.add(image, sample.key, hash, nameOf);
    if (!copy) await near.add(image, sample, nameOf);
  };
  progress?.start('checking', images);
  try {
    for (const shard of shards) {
      if (signal?.aborted)
        throw new InterruptedError('stopped before every shard was checked', { code: 'E_INTERRUPTED' });
      for (const { file, why } of shard.skipped) skipped.add(`${file}: ${why}`);
      for (const sample of await readSamples(path, shard, manifest, last)) {
        last = sample.index;
        for (const code of sample.codes) codeCounts[code] = (codeCounts[code] as number) + 1;
        if (sample.captions.length === 0) missing.add(sample.key);
        else captioned++;
        if (sample.captions.length > 1) several++;
        for (const caption of sample.captions) addCaption(caption, sample.key);
        await compare(sample);
      }
      done += shard.count;
      progress?.update(done);
    }
  } finally {
    progress?.stop();
    await keys.close();
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
  return { report, codeCounts };
}

class NearGroups {
  readonly #near: NearCodes;
  /** The image of each that is kept for comparison. */
  readonly #images = new Int32List();
  readonly #list = new GroupList();

  constructor(length: number) {
    this.#near = new NearCodes(length);
  }

  async add(image: number, { key, codes }: TokenSample, nameOf: NameOf): Promise<void> {
    const found = this.#near.find(codes);
    if ('near' in found) await this.#list.add(this.#images.at(found.near), key, nameOf);
    else if (found.added !== undefined) this.#images.push(image);
  }

  get groups(): Groups {
    return this.#list.groups;
  }

  get limits(): string[] {
    return limit('near duplicates', this.#near.beyond, MAX_COMPARED);
  }
}
