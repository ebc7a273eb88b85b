// Captioned images as tokens, in shuffled batches: captions are encoded anew each time, with dropout of merges.

import type { DalleConfig } from '../../config/dalle.ts';
import { type BatchPosition, ShuffledOrder } from '../../data/order.ts';
import { pickCaption } from '../../data/sources/captions.ts';
import { textLines } from '../../data/sources/folder.ts';
import { imageLength, padCaption } from '../../models/dalle/config.ts';
import type { BpeTokenizer } from '../../tokenizers/bpe.ts';
import { DataError } from '../../util/errors.ts';
import { RandomStream } from '../../util/random.ts';
import type { TokenizedDataset } from './dataset.ts';

export interface TokenBatch {
  readonly count: number;
  /** Names of the images. */
  readonly keys: readonly string[];
  /** count × textLength, padded */
  readonly text: Int32Array;
  /** count × grid² */
  readonly image: Int32Array;
  /** Where the data goes on after this batch. */
  readonly position: BatchPosition;
}

/**
 * Refuses captions that do not fit in the text positions, before training begins.
 * @param source where the images come from, for messages; keys stand for themselves without it
 * @returns how many captions will be cut, 0 unless data.truncateCaptions allows it
 */
export function assertCaptionsFit(
  { keys, captions }: Pick<TokenizedDataset, 'keys' | 'captions'>,
  tokenizer: BpeTokenizer,
  config: DalleConfig,
  source?: string,
): number {
  const { textLength } = config.model;
  const place = (key: string): string => (source === undefined ? key : `${source}: ${key}`);
  const all = captions.flatMap((text, i) =>
    textLines(text).map((caption) => ({ caption, key: keys[i] as string })),
  );
  const blank = captions.findIndex((text) => textLines(text).length === 0);
  if (blank >= 0) {
    throw new DataError('a caption of nothing but spaces', {
      where: place(keys[blank] as string),
      fix: 'write the caption, or leave the image out (train.nullCaptions trains without captions)',
    });
  }
  const long = all.flatMap(({ caption, key }) => {
    const { length } = tokenizer.encode(caption);
    return length > textLength ? [{ key, length }] : [];
  });
  const [first] = long;
  if (first && !config.data.truncateCaptions) {
    throw new DataError(
      `${long.length} captions are longer than model.textLength ${textLength}; the first has ${first.length} tokens`,
      {
        where: place(first.key),
        fix: 'raise model.textLength, shorten the captions, or set data.truncateCaptions (--truncate) to cut them',
      },
    );
  }
  return long.length;
}

export const firstCaption = ({ captions }: TokenizedDataset, index: number): string =>
  textLines(captions[index] as string)[0] as string;

/** Encodes and pads one caption; dropout makes it longer, so what it adds past the end is cut. */
function encodeCaption(
  caption: string,
  tokenizer: BpeTokenizer,
  config: DalleConfig,
  random?: RandomStream,
): Int32Array {
  const { textLength } = config.model;
  const { bpeDropout } = config.data;
  let tokens = tokenizer.encode(
    caption,
    random && bpeDropout > 0 ? { dropout: bpeDropout, random } : undefined,
  );
  if (random && tokens.length > textLength) tokens = tokenizer.encode(caption);
  return padCaption(tokens.slice(0, textLength), config.model);
}

function toBatch(
  data: TokenizedDataset,
  indices: ArrayLike<number>,
  position: BatchPosition,
  config: DalleConfig,
  encode: (index: number, i: number) => Int32Array,
): TokenBatch {
  const { textLength } = config.model;
  const length = imageLength(config.model);
  const text = new Int32Array(indices.length * textLength);
  const image = new Int32Array(indices.length * length);
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number;
    text.set(encode(index, i), i * textLength);
    image.set(data.codes.subarray(index * length, (index + 1) * length), i * length);
  }
  const keys = Array.from(indices, (index) => data.keys[index] as string);
  return { count: indices.length, keys, text, image, position };
}

/** Endless training batches from `position` on. */
export async function* trainingBatches(
  data: TokenizedDataset,
  tokenizer: BpeTokenizer,
  config: DalleConfig,
  position?: BatchPosition,
): AsyncGenerator<TokenBatch, void> {
  const { seed, train } = config;
  const order = new ShuffledOrder({ count: data.captions.length, batch: train.batch, seed, position });
  for (;;) {
    const { indices, epochs, position: after } = order.next();
    const batch = toBatch(data, indices, after, config, (index, i) => {
      const epoch = epochs[i] as number;
      const random = new RandomStream(seed, 'caption', epoch, index);
      const isDropped = random.uniform() < train.nullCaptions;
      const lines = textLines(data.captions[index] as string);
      const caption = isDropped ? '' : pickCaption(lines, seed, epoch, data.keys[index] as string);
      return encodeCaption(caption, tokenizer, config, random);
    });
    yield batch;
  }
}

/** All of the data in order, under their first captions, without dropout, in whole batches. */
export function validationBatches(
  data: TokenizedDataset,
  tokenizer: BpeTokenizer,
  config: DalleConfig,
  most: number,
): TokenBatch[] {
  const size = Math.min(config.train.batch, data.captions.length);
  const count = Math.min(most, Math.floor(data.captions.length / size));
  return Array.from({ length: count }, (_, b) => {
    const indices = Array.from({ length: size }, (_, i) => b * size + i);
    return toBatch(data, indices, { epoch: 0, index: 0 }, config, (index) =>
      encodeCaption(firstCaption(data, index), tokenizer, config),
    );
  });
}
