// Shuffled batches of captions and image tokens. Captions are encoded anew in each epoch, with BPE dropout, while the
// step before runs.

import { setImmediate } from 'node:timers/promises';
import type { DalleConfig } from '../../config/dalle.ts';
import type { BatchPosition } from '../../data/order.ts';
import { pickCaption } from '../../data/sources/captions.ts';
import { imageLength, maxCaptionTokens, padCaption } from '../../models/dalle/config.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { counted } from '../../util/counted.ts';
import { DataError } from '../../util/errors.ts';
import { prefetch } from '../../util/prefetch.ts';
import { RandomStream } from '../../util/random.ts';
import type { TokenizedDataset } from './examples.ts';
import { exampleOf, inMemory, type TokenExample, type TokenExamples, type TokenTurn } from './examples.ts';

export interface TokenBatch {
  readonly count: number;
  /** Keys of the images. */
  readonly keys: readonly string[];
  /** count × textLength, padded */
  readonly text: Int32Array;
  /** count × grid² */
  readonly image: Int32Array;
  /** Position in the data after this batch. */
  readonly position: BatchPosition;
}

/** Batches in flight, the awaited one included. */
const PREFETCH = 2;

/**
 * Checks before training that captions fit in the text positions.
 * @param source where the images come from, for messages; without it, keys stand alone
 * @returns the number of captions to be truncated; 0 unless data.truncateCaptions is set
 * @throws DataError for an image without captions, and for captions that are too long
 */
export function assertCaptionsFit(
  { keys, captions }: Pick<TokenizedDataset, 'keys' | 'captions'>,
  tokenizer: Tokenizer,
  config: DalleConfig,
  source?: string,
): number {
  const max = maxCaptionTokens(config.model);
  const place = (key: string): string => (source === undefined ? key : `${source}: ${key}`);
  const blank = captions.findIndex(({ length }) => length === 0);
  if (blank >= 0) {
    throw new DataError('a caption of nothing but spaces', {
      code: 'E_CAPTION_EMPTY',
      where: place(keys[blank] as string),
      fix: 'write the caption, or leave the image out (train.nullCaptions trains without captions)',
    });
  }
  const long = captions.flatMap((ofImage, i) =>
    ofImage
      .map((caption) => ({ key: keys[i] as string, length: tokenizer.encode(caption).length }))
      .filter(({ length }) => length > max),
  );
  const [first] = long;
  if (first && !config.data.truncateCaptions) {
    throw new DataError(
      `${counted(long.length, 'caption')} longer than the ${max} tokens that model.textLength leaves; the first has ${first.length}`,
      {
        code: 'E_CAPTION_TOO_LONG',
        where: place(first.key),
        fix: 'raise model.textLength, shorten the captions, or set data.truncateCaptions to cut them',
      },
    );
  }
  return long.length;
}

export const firstCaption = ({ captions }: TokenizedDataset, index: number): string =>
  captions[index]?.[0] as string;

/** Encodes and pads a caption. One that only dropout makes too long is encoded without it; the rest is truncated. */
function encodeCaption(
  caption: string,
  tokenizer: Tokenizer,
  config: DalleConfig,
  random?: RandomStream,
): Int32Array {
  const max = maxCaptionTokens(config.model);
  const { bpeDropout } = config.data;
  let tokens = tokenizer.encode(
    caption,
    random && bpeDropout > 0 && tokenizer.hasDropout ? { dropout: bpeDropout, random } : undefined,
  );
  if (random && tokens.length > max) tokens = tokenizer.encode(caption);
  return padCaption(tokens.slice(0, max), config.model);
}

function toBatch(
  examples: readonly Pick<TokenExample, 'key' | 'codes'>[],
  position: BatchPosition,
  config: DalleConfig,
  encode: (i: number) => Int32Array,
): TokenBatch {
  const { textLength } = config.model;
  const length = imageLength(config.model);
  const text = new Int32Array(examples.length * textLength);
  const image = new Int32Array(examples.length * length);
  for (const [i, { codes }] of examples.entries()) {
    text.set(encode(i), i * textLength);
    image.set(codes, i * length);
  }
  return { count: examples.length, keys: examples.map(({ key }) => key), text, image, position };
}

/** Endless training batches from `position` on. */
export function trainingBatches(
  data: TokenExamples | TokenizedDataset,
  tokenizer: Tokenizer,
  config: DalleConfig,
  position?: BatchPosition,
): AsyncGenerator<TokenBatch, void> {
  const { seed, train } = config;
  const set = 'turns' in data ? data : inMemory(data);
  const encode = async (turns: readonly TokenTurn[]): Promise<TokenBatch> => {
    await setImmediate(); // after the step before has been handed to TensorFlow
    const { position: after } = turns.at(-1) as TokenTurn;
    const examples = turns.map(({ example }) => example);
    return toBatch(examples, after, config, (i) => {
      const { example, epoch } = turns[i] as TokenTurn;
      const random = new RandomStream(seed, 'caption', epoch, example.index);
      const isNull = random.uniform() < train.nullCaptions;
      const caption = isNull ? '' : pickCaption(example.captions, seed, epoch, example.key);
      return encodeCaption(caption, tokenizer, config, random);
    });
  };
  return prefetch(inBatches(set.turns(seed, position), train.batch), PREFETCH, encode);
}

async function* inBatches(
  turns: Iterable<TokenTurn> | AsyncIterable<TokenTurn>,
  batch: number,
): AsyncGenerator<readonly TokenTurn[], void> {
  let taken: TokenTurn[] = [];
  for await (const turn of turns) {
    taken.push(turn);
    if (taken.length < batch) continue;
    yield taken;
    taken = [];
  }
}

/** The data in order with first captions, without dropout: at most `max` whole batches. */
export function validationBatches(
  data: TokenizedDataset,
  tokenizer: Tokenizer,
  config: DalleConfig,
  max: number,
): TokenBatch[] {
  const size = Math.min(config.train.batch, data.captions.length);
  const count = Math.min(max, Math.floor(data.captions.length / size));
  return Array.from({ length: count }, (_, b) => {
    const examples = Array.from({ length: size }, (_, i) => exampleOf(data, b * size + i));
    return toBatch(examples, { epoch: 0, index: 0 }, config, (i) =>
      encodeCaption(examples[i]?.captions[0] as string, tokenizer, config),
    );
  });
}
