// Captioned images as CLIP's batches, in chunks: an update that does not hold all of its batch in memory goes through
// it twice.

import type { ClipConfig } from '../../config/clip.ts';
import { type ImageBatch, ImageBatches } from '../../data/batches.ts';
import type { CaptionedImage } from '../../data/image.ts';
import type { BatchPosition } from '../../data/order.ts';
import { captionsOf } from '../../data/sources/captions.ts';
import type { Faults } from '../../data/sources/faults.ts';

import type { OnHost } from '../../engine/session/runtime.ts';
import { textBatch, textTokens } from '../../models/clip/text.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { DataError } from '../../util/errors.ts';
import type { ClipInputs } from './gradients.ts';

export interface ClipBatch {
  /** The batch from its start, each time it is called; to be gone through to its end. */
  chunks(): AsyncIterable<OnHost<ClipInputs>>;
  /** Where the data goes on; known when the chunks have been gone through. */
  readonly position: BatchPosition | undefined;
}

/** Images of larger batches are decoded again. */
const HELD_BYTES = 2 ** 28;

export interface ClipData {
  readonly images: readonly CaptionedImage[];
  readonly tokenizer: Tokenizer;
  readonly faults: Faults;
}

/** Endless chunks from a place in the data on. */
type Chunks = AsyncGenerator<ImageBatch, void>;

function chunksFrom(start: BatchPosition | undefined, data: ClipData, config: ClipConfig): Chunks {
  const { batch, gradCacheChunk: chunk = batch } = config.train;
  return new ImageBatches(data.images, {
    size: config.model.image.size,
    batch: chunk,
    seed: config.seed,
    crop: config.data.crop,
    cropScale: config.data.cropScale,
    preprocessing: 'clip',
    flip: false,
    faults: data.faults,
    position: start,
  })[Symbol.asyncIterator]();
}

function inputs(
  { pixels, captions }: ImageBatch,
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

/** A batch that is drawn from `source` the first time, and held or drawn again from `start` after that. */
class DrawnBatch implements ClipBatch {
  position: BatchPosition | undefined;
  readonly #data: ClipData;
  readonly #config: ClipConfig;
  readonly #source: Chunks;
  readonly #start: BatchPosition | undefined;
  readonly #held: OnHost<ClipInputs>[] | undefined;

  constructor(
    data: ClipData,
    config: ClipConfig,
    source: Chunks,
    start: BatchPosition | undefined,
    isHeld: boolean,
  ) {
    this.#data = data;
    this.#config = config;
    this.#source = source;
    this.#start = start;
    this.#held = isHeld ? [] : undefined;
  }

  async *chunks(): AsyncGenerator<OnHost<ClipInputs>, void> {
    if (this.position === undefined) yield* this.#draw(this.#source, this.#held);
    else if (this.#held) yield* this.#held;
    else {
      const source = chunksFrom(this.#start, this.#data, this.#config);
      try {
        yield* this.#draw(source);
      } finally {
        await source.return();
      }
    }
  }

  async *#draw(source: Chunks, held?: OnHost<ClipInputs>[]): AsyncGenerator<OnHost<ClipInputs>, void> {
    const { batch, gradCacheChunk: chunk = batch } = this.#config.train;
    for (let i = 0; i < batch / chunk; i++) {
      const { value } = (await source.next()) as IteratorYieldResult<ImageBatch>;
      this.position = value.position;
      const made = inputs(value, this.#data, this.#config);
      held?.push(made);
      yield made;
    }
  }
}

/**
 * Endless training batches from `start` on, the same whatever the chunk.
 * @param heldBytes batches up to this size stay in memory for the second time
 */
export async function* clipBatches(
  data: ClipData,
  config: ClipConfig,
  start?: BatchPosition,
  heldBytes = HELD_BYTES,
): AsyncGenerator<ClipBatch, void> {
  const { batch, gradCacheChunk: chunk = batch } = config.train;
  const isHeld = chunk < batch && batch * config.model.image.size ** 2 * 3 <= heldBytes;
  const running = chunksFrom(start, data, config);
  let position = start;
  try {
    for (;;) {
      const drawn = new DrawnBatch(data, config, running, position, isHeld);
      yield drawn;
      if (drawn.position === undefined) throw new Error('a batch was passed over');
      position = drawn.position;
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
  images: readonly CaptionedImage[],
  tokenizer: Tokenizer,
  config: ClipConfig,
): number {
  let long = 0;
  const captions = images.flatMap((image) =>
    captionsOf(image).map((caption) => ({ caption, path: image.path })),
  );
  for (const { caption, path } of captions) {
    try {
      textTokens(caption, tokenizer, config.model);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      if (!config.data.truncateCaptions || tokenizer.encode(caption).length === 0) {
        throw new DataError(error.message, {
          where: path,
          fix: 'shorten the caption, raise model.text.length, or set data.truncateCaptions (--truncate) to cut such captions',
        });
      }
      long++;
    }
  }
  return long;
}
