// What a folder of token shards is like: read shard by shard, with counts and bounded samples in memory.

import { createHash } from 'node:crypto';
import { loadTokenizer } from '../../tokenizers/load.ts';
import { InterruptedError } from '../../util/errors.ts';
import { MAX_COMPARED, NearCodes } from '../tokens/near-codes.ts';
import { readFinishedManifest, readSamples } from '../tokens/read.ts';
import type { TokenSample } from '../tokens/shard.ts';
import { CAPTION_LENGTHS, MAX_FREQUENT_WORDS } from './captions.ts';
import type { CheckOptions } from './check.ts';
import { type Bin, Histogram, type Range } from './distribution.ts';
import { type WordCount, WordCounts } from './words.ts';

/** Names that are listed of each kind, and groups of duplicates. */
const MAX_LISTED = 1000;
/** Different codes that are remembered to find copies. */
const MAX_HASHED = 1_000_000;

/** Names, of which the first are kept. */
export interface Listed {
  readonly count: number;
  readonly first: readonly string[];
}

/** Groups of images, of which the first are kept; `images` counts those beyond the first of each group. */
export interface Groups {
  readonly images: number;
  readonly first: readonly (readonly string[])[];
}

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
  readonly captions: {
    /** Images with a caption. */
    readonly count: number;
    readonly several: number;
    readonly missing: Listed;
    /** Captions of more tokens than asked for; of more words without a tokenizer. */
    readonly tooLong: Listed;
    readonly words: Range | undefined;
    /** With a tokenizer. */
    readonly tokens: Range | undefined;
    readonly lengths: readonly Bin[];
    readonly frequentWords: readonly WordCount[];
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
  const [words, tokens] = [new Histogram(), new Histogram()];
  const frequent = new WordCounts();
  const [missing, tooLong, skipped] = [new List(), new List(), new List()];
  const same = new SameCodes();
  const near = new NearGroups(grid ** 2);
  let [captioned, several, done, last] = [0, 0, 0, -1];
  const addCaption = (caption: string, key: string): void => {
    const length = caption.split(/\s+/).length;
    words.add(length);
    frequent.add(caption);
    const ids = tokenizer?.encode(caption).length;
    if (ids !== undefined) tokens.add(ids);
    if ((ids ?? length) > textLength) tooLong.add(`${key} (${ids ?? length})`);
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
        if (!same.isCopy(sample)) near.add(sample);
      }
      done += shard.count;
      progress?.update(done);
    }
  } finally {
    progress?.stop();
  }
  const report: TokenReport = {
    ...{ path, dvae, imageSize, grid, vocabulary, shards: shards.length, images },
    skipped: skipped.listed,
    captions: {
      ...{ count: captioned, several, missing: missing.listed, tooLong: tooLong.listed },
      words: words.range,
      tokens: tokens.range,
      lengths: (tokenizer ? tokens : words).bins(CAPTION_LENGTHS),
      frequentWords: frequent.top(MAX_FREQUENT_WORDS),
    },
    duplicates: same.groups,
    nearDuplicates: near.groups,
    limits: [...same.limits, ...near.limits],
  };
  return { report, codeCounts };
}

/** Names, the first of which are kept. */
class List {
  #count = 0;
  readonly #first: string[] = [];

  add(name: string): void {
    this.#count++;
    if (this.#first.length < MAX_LISTED) this.#first.push(name);
  }

  get listed(): Listed {
    return { count: this.#count, first: this.#first };
  }
}

/** Groups by the name of their first image. */
class GroupList {
  #images = 0;
  readonly #groups = new Map<string, string[]>();

  add(first: string, copy: string): void {
    this.#images++;
    const group = this.#groups.get(first);
    if (group === undefined && this.#groups.size < MAX_LISTED) this.#groups.set(first, [first, copy]);
    else if (group !== undefined && group.length < MAX_LISTED) group.push(copy);
  }

  get groups(): Groups {
    return { images: this.#images, first: [...this.#groups.values()] };
  }
}

class SameCodes {
  /** Key of the first image by a hash of its codes. */
  readonly #firsts = new Map<string, string>();
  readonly #list = new GroupList();
  #beyond = 0;

  isCopy({ key, codes }: TokenSample): boolean {
    const hash = createHash('sha256').update(codes).digest('base64').slice(0, 16);
    const first = this.#firsts.get(hash);
    if (first !== undefined) this.#list.add(first, key);
    else if (this.#firsts.size < MAX_HASHED) this.#firsts.set(hash, key);
    else this.#beyond++;
    return first !== undefined;
  }

  get groups(): Groups {
    return this.#list.groups;
  }

  get limits(): string[] {
    if (this.#beyond === 0) return [];
    return [
      `copies: ${this.#beyond} images were compared with the first ${MAX_HASHED} different ones, not with one another`,
    ];
  }
}

class NearGroups {
  readonly #near: NearCodes;
  readonly #names: string[] = [];
  readonly #list = new GroupList();

  constructor(length: number) {
    this.#near = new NearCodes(length);
  }

  add({ key, codes }: TokenSample): void {
    const found = this.#near.find(codes);
    if ('near' in found) this.#list.add(this.#names[found.near] as string, key);
    else if (found.added !== undefined) this.#names.push(key);
  }

  get groups(): Groups {
    return this.#list.groups;
  }

  get limits(): string[] {
    const { beyond } = this.#near;
    if (beyond === 0) return [];
    return [
      `near duplicates: ${beyond} images were compared with the first ${MAX_COMPARED}, not with one another`,
    ];
  }
}
