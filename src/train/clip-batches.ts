// Captioned pictures as CLIP's batches, in chunks: an update that does not hold all of its batch in memory goes through
// it twice.

import type { ClipConfig } from '../config/clip.ts';
import { type PictureBatch, PictureBatches } from '../data/batches.ts';
import type { Faults } from '../data/faults.ts';
import type { BatchPosition } from '../data/order.ts';
import type { Picture } from '../data/source.ts';
import type { OnHost } from '../engine/runtime.ts';
import { textBatch, textTokens } from '../models/clip/text.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { DataError } from '../util/errors.ts';
import type { ClipInputs } from './clip-step.ts';

export interface ClipBatch {
  /** The batch from its start, each time it is called; to be gone through to its end. */
  chunks(): AsyncIterable<OnHost<ClipInputs>>;
  /** Where the data goes on; known when the chunks have been gone through. */
  readonly position: BatchPosition | undefined;
}

/** Batches up to this many bytes stay in memory for the second time; pictures of larger ones are decoded again. */
const HELD_BYTES = 2 ** 28;

export interface ClipData {
  readonly pictures: readonly Picture[];
  readonly tokenizer: Tokenizer;
  readonly faults: Faults;
}

function inputs(
  { pixels, captions }: PictureBatch,
  { tokenizer }: ClipData,
  { data, model }: ClipConfig,
): OnHost<ClipInputs> {
  const { size } = model.image;
  const texts = captions.map((caption) =>
    textTokens(caption as string, tokenizer, model, data.truncateCaptions),
  );
  return {
    pixels: { dtype: 'uint8', shape: [captions.length, size, size, 3], data: pixels },
    ...textBatch(texts, model),
  };
}

/** Endless training batches from `start` on, the same whatever the chunk. */
export async function* clipBatches(
  data: ClipData,
  config: ClipConfig,
  start?: BatchPosition,
): AsyncGenerator<ClipBatch, void> {
  const { batch, chunk = batch } = config.train;
  const count = batch / chunk;
  const isHeld = count > 1 && batch * config.model.image.size ** 2 * 3 <= HELD_BYTES;
  const from = (position: BatchPosition | undefined): AsyncGenerator<PictureBatch, void> =>
    new PictureBatches(data.pictures, {
      size: config.model.image.size,
      batch: chunk,
      seed: config.seed,
      crop: config.data.crop,
      cropScale: config.data.cropScale,
      flip: false,
      faults: data.faults,
      position,
    })[Symbol.asyncIterator]();

  const running = from(start);
  let before = start;
  try {
    for (;;) {
      const beginning = before;
      const held: OnHost<ClipInputs>[] = [];
      let after: BatchPosition | undefined;
      async function* draw(source: AsyncGenerator<PictureBatch, void>, keeps: boolean) {
        for (let i = 0; i < count; i++) {
          const { value } = (await source.next()) as IteratorYieldResult<PictureBatch>;
          after = value.position;
          const made = inputs(value, data, config);
          if (keeps) held.push(made);
          yield made;
        }
      }
      async function* again(): AsyncGenerator<OnHost<ClipInputs>, void> {
        const source = from(beginning);
        try {
          yield* draw(source, false);
        } finally {
          await source.return();
        }
      }
      async function* fromMemory(): AsyncGenerator<OnHost<ClipInputs>, void> {
        yield* held;
      }
      yield {
        chunks: () => {
          if (after === undefined) return draw(running, isHeld);
          return held.length > 0 ? fromMemory() : again();
        },
        get position() {
          return after;
        },
      };
      if (after === undefined) throw new Error('a batch was passed over');
      before = after;
    }
  } finally {
    await running.return();
  }
}

/**
 * Refuses captions that do not fit in the text positions, before training begins.
 * @returns how many will be cut, 0 unless data.truncateCaptions allows it
 */
export function checkCaptions(
  pictures: readonly Picture[],
  tokenizer: Tokenizer,
  config: ClipConfig,
): number {
  let long = 0;
  for (const { caption, path } of pictures) {
    try {
      textTokens(caption as string, tokenizer, config.model);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      if (!config.data.truncateCaptions || tokenizer.encode(caption as string).length === 0) {
        throw new DataError(error.message, {
          where: path,
          fix: 'shorten the caption, raise model.text.length, or set data.truncateCaptions to cut such captions',
        });
      }
      long++;
    }
  }
  return long;
}
