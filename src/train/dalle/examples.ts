// The examples of the joint Transformer in their turn: in memory, shuffled as a whole, or in shards (sharded-tokens.ts).

import type { CaptionedImage } from '../../data/image.ts';
import { type BatchPosition, FullShuffle, turns } from '../../data/order.ts';

/** Captioned images as image tokens. */
export interface TokenizedDataset {
  readonly keys: readonly string[];
  /** The captions of each image, at least one. */
  readonly captions: readonly (readonly string[])[];
  /** images × grid² */
  readonly codes: Uint16Array;
  /** Where each image belongs, when the source says it. */
  readonly places?: readonly Place[];
}

export type Place = Pick<CaptionedImage, 'split' | 'weight'>;

/** A captioned image as image tokens. */
export interface TokenExample {
  /** Keys its random streams, with the epoch: its index in the training set, or in all shards. */
  readonly index: number;
  readonly key: string;
  /** At least one. */
  readonly captions: readonly string[];
  /** grid² */
  readonly codes: Uint16Array;
}

/** An example in its turn. */
export interface TokenTurn {
  readonly example: TokenExample;
  readonly epoch: number;
  /** Position in the data after it. */
  readonly position: BatchPosition;
}

export interface TokenExamples {
  /** Examples; in shards, those that are not trained on included. */
  readonly count: number;
  /** Endless turns, the same for the same seed, from whatever position they start. */
  turns(seed: number, position?: BatchPosition): Iterable<TokenTurn> | AsyncIterable<TokenTurn>;
}

export function exampleOf({ keys, captions, codes }: TokenizedDataset, index: number): TokenExample {
  const length = codes.length / keys.length;
  return {
    index,
    key: keys[index] as string,
    captions: captions[index] as readonly string[],
    codes: codes.subarray(index * length, (index + 1) * length),
  };
}

/** Examples in memory. */
export const inMemory = (data: TokenizedDataset): TokenExamples => ({
  count: data.keys.length,
  *turns(seed, position) {
    for (const { index, ...turn } of turns(new FullShuffle(data.keys.length, seed), position))
      yield { ...turn, example: exampleOf(data, index) };
  },
});
