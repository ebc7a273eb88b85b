// Token shards that are too many for memory: an epoch visits them in a shuffled order, a window of them at a time
// (data/shards). In memory are the examples of two windows, and a record of each shard.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type Shard, ShardedImages } from '../../data/shards/images.ts';
import type { Faults } from '../../data/sources/faults.ts';
import { recordLack } from '../../data/sources/keep-captioned.ts';
import { isHeldOut, repeated } from '../../data/split.ts';
import type { TokenManifest } from '../../data/tokens/manifest.ts';
import { readSamples } from '../../data/tokens/read.ts';
import type { TokenSample } from '../../data/tokens/shard.ts';
import { DataError } from '../../util/errors.ts';
import type { TokenExamples, TokenizedDataset } from './examples.ts';

/** Shards that are searched for held-out examples, where they are chosen by a hash. */
const MAX_SEARCHED = 16;

export interface ShardedTokenOptions {
  /** Share held out for validation; 0 with another validation source. */
  readonly share: number;
  /** Examples that are shuffled together, at least. */
  readonly buffer: number;
  /** Turns of each example in an epoch: the largest weight, in whole numbers. Those beyond its own are passed over. */
  readonly copies?: number;
  readonly faults: Faults;
}

const isUsable = ({ captions, split }: TokenSample): boolean => captions.length > 0 && split !== 'test';

/** The training examples of a folder of token shards. */
export function shardedTokens(
  path: string,
  manifest: TokenManifest,
  { share, buffer, copies = 1, faults }: ShardedTokenOptions,
): TokenExamples {
  const shards = manifest.shards.map((record): Shard<TokenSample> => {
    let isRecorded = false;
    const where = join(path, record.file);
    return {
      path: where,
      read: async () => {
        const samples = await readSamples(path, record, manifest);
        // What is left out is recorded when a shard is first read.
        if (!isRecorded) for (const sample of samples) recordLeftOut(sample, where, faults);
        isRecorded = true;
        return { images: copiesOf(samples, copies, manifest.images), close: async () => {} };
      },
    };
  });
  const set = new ShardedImages<TokenSample>(path, shards, {
    counts: Int32Array.from(manifest.shards, ({ count }) => count * copies),
    buffer,
    isTrained: (sample) => isUsable(sample) && !isHeldOut(sample, share),
  });
  return {
    count: set.count,
    async *turns(seed, position) {
      for await (const { images, index, ...turn } of set.turns(seed, position))
        yield { ...turn, example: images[index] as TokenSample };
    },
  };
}

/** Each example as often as its weight says, under separate keys and indices (`repeated`). */
function copiesOf(
  samples: readonly TokenSample[],
  copies: number,
  images: number,
): (TokenSample | undefined)[] {
  if (copies === 1 && samples.every(({ weight = 1 }) => weight === 1)) return [...samples];
  const all = samples.map(repeated);
  return Array.from({ length: copies }, (_, copy) =>
    all.map((some) => some[copy] && { ...some[copy], index: some[copy].index + copy * images }),
  ).flat();
}

function recordLeftOut({ key, captions, split }: TokenSample, shard: string, faults: Faults): void {
  const path = `${shard}: ${key}`;
  if (split === 'test') faults.record({ kind: 'test-split', where: path });
  else if (captions.length === 0) recordLack({ path }, faults);
}

/**
 * The first held-out examples of a folder, in its order; the first examples where none is held out.
 * @throws DataError when the first shards have no example with a caption
 */
export async function heldOutTokens(
  path: string,
  manifest: TokenManifest,
  share: number,
  max: number,
): Promise<TokenizedDataset> {
  let found: TokenSample[] = [];
  let others: TokenSample[] = [];
  for (const [i, record] of manifest.shards.entries()) {
    // A source that says its splits may have the validation split at its end.
    if (i >= MAX_SEARCHED && others[0]?.split === undefined) break;
    const usable = (await readSamples(path, record, manifest)).filter(isUsable);
    found = [...found, ...usable.filter((sample) => isHeldOut(sample, share))].slice(0, max);
    others = [...others, ...usable].slice(0, max);
    if (found.length >= max) break;
  }
  const samples = found.length > 0 ? found : others;
  if (samples.length === 0) {
    throw new DataError('the first shards have no image with a caption', {
      code: 'E_NO_CAPTION',
      where: path,
      fix: 'mm data check counts those without',
    });
  }
  const length = manifest.grid ** 2;
  const codes = new Uint16Array(samples.length * length);
  for (const [i, sample] of samples.entries()) codes.set(sample.codes, i * length);
  return { keys: samples.map(({ key }) => key), captions: samples.map(({ captions }) => captions), codes };
}

/** Identifies a folder: its shards' contents in their order. */
export const tokensHash = ({ shards }: TokenManifest): string =>
  createHash('sha256')
    .update(JSON.stringify(shards.map(({ sha256 }) => sha256)))
    .digest('hex');
