// CLIP's batches of captioned images, in chunks: with GradCache, an update iterates over its batch twice.

import type { ClipConfig } from '../../config/clip.ts';
import { type ImageBatch, ImageBatches } from '../../data/batches.ts';
import type { CaptionedImage } from '../../data/image.ts';
import type { Images } from '../../data/image-set.ts';
import type { BatchPosition } from '../../data/order.ts';
import type { Faults } from '../../data/sources/faults.ts';
import type { OnHost } from '../../engine/session/compiled.ts';
import type { ReplicaDevices } from '../../engine/tfjs/trace.ts';
import { textBatch, textTokens } from '../../models/clip/text.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { DataError } from '../../util/errors.ts';
import type { ClipInputs } from './gradients.ts';

export interface ClipBatch {
  /** All chunks of the batch, from the first on each call; the caller consumes them all. */
  chunks(): AsyncIterable<OnHost<ClipInputs>>;
  /** Position in the data after this batch; known once the chunks have been consumed. */
  readonly position: BatchPosition | undefined;
  /** Milliseconds spent so far on waiting for chunks. */
  readonly waited: number;
}

/** Batches of more image bytes are decoded again for the second pass. */
const MAX_HELD_BYTES = 2 ** 28;

export interface ClipData {
  readonly images: Images;
  readonly tokenizer: Tokenizer;
  readonly faults: Faults;
}

/** How batches are cut. */
interface Division {
  /** Images in a chunk. */
  readonly chunk: number;
  /** The devices that take a chunk each at once; here those of this process are read. */
  readonly replicas: Pick<ReplicaDevices, 'names' | 'count' | 'first'>;
}

/** Endless rounds, a chunk for each device of this process, from a position in the data on. */
type Rounds = AsyncGenerator<ImageBatch, void>;

function roundsFrom(
  start: BatchPosition | undefined,
  data: ClipData,
  config: ClipConfig,
  { chunk, replicas: { count, names, first } }: Division,
): Rounds {
  return new ImageBatches(data.images, {
    size: config.model.image.size,
    batch: chunk * count,
    share: { rank: first / names.length, workers: count / names.length },
    seed: config.seed,
    crop: config.data.crop,
    cropScale: config.data.cropScale,
    preprocessing: 'clip',
    interpolation: config.model.image.interpolation,
    flip: false,
    faults: data.faults,
    position: start,
  })[Symbol.asyncIterator]();
}

/** Chunk number `r` of a round. */
function inputs(
  round: ImageBatch,
  r: number,
  chunk: number,
  { tokenizer }: ClipData,
  { data, model }: ClipConfig,
): OnHost<ClipInputs> {
  const { size } = model.image;
  const bytes = chunk * size ** 2 * 3;
  const texts = round.captions
    .slice(r * chunk, (r + 1) * chunk)
    .map((caption) => textTokens(caption as string, tokenizer, model, data.truncateCaptions));
  return {
    pixels: {
      dtype: 'uint8',
      shape: [chunk, size, size, 3],
      data: round.pixels.subarray(r * bytes, (r + 1) * bytes),
    },
    ...textBatch(texts, model),
  };
}

/** A batch read from `source` in the first pass; later passes use memory, or decode it again from `start`. */
class ReplayableBatch implements ClipBatch {
  position: BatchPosition | undefined;
  waited = 0;
  readonly #data: ClipData;
  readonly #config: ClipConfig;
  readonly #division: Division;
  readonly #source: Rounds;
  readonly #start: BatchPosition | undefined;
  readonly #held: OnHost<ClipInputs>[] | undefined;

  constructor(
    data: ClipData,
    config: ClipConfig,
    division: Division,
    source: Rounds,
    start: BatchPosition | undefined,
    isHeld: boolean,
  ) {
    this.#data = data;
    this.#config = config;
    this.#division = division;
    this.#source = source;
    this.#start = start;
    this.#held = isHeld ? [] : undefined;
  }

  async *chunks(): AsyncGenerator<OnHost<ClipInputs>, void> {
    if (this.position === undefined) yield* this.#read(this.#source, this.#held);
    else if (this.#held) yield* this.#held;
    else {
      const source = roundsFrom(this.#start, this.#data, this.#config, this.#division);
      try {
        yield* this.#read(source);
      } finally {
        await source.return();
      }
    }
  }

  async *#read(source: Rounds, held?: OnHost<ClipInputs>[]): AsyncGenerator<OnHost<ClipInputs>, void> {
    const { chunk, replicas } = this.#division;
    for (let i = 0; i < this.#config.train.batch / (chunk * replicas.count); i++) {
      const asked = performance.now();
      const { value } = (await source.next()) as IteratorYieldResult<ImageBatch>;
      this.waited += performance.now() - asked;
      this.position = value.position;
      for (let r = 0; r < replicas.names.length; r++) {
        const part = inputs(value, r, chunk, this.#data, this.#config);
        held?.push(part);
        yield part;
      }
    }
  }
}

export interface ClipBatchOptions {
  /** Images in a chunk. */
  readonly chunk?: number;
  /** Whether an update iterates over its batch twice. */
  readonly isReplayed?: boolean;
  /** The devices that take the chunks in turn; one without it. */
  readonly replicas?: Division['replicas'];
  /** Image bytes up to which a batch stays in memory for the second pass. */
  readonly maxHeldBytes?: number;
}

/** Endless training batches from `start` on; the size of a chunk does not change their contents. */
export async function* clipBatches(
  data: ClipData,
  config: ClipConfig,
  start?: BatchPosition,
  options: ClipBatchOptions = {},
): AsyncGenerator<ClipBatch, void> {
  const { batch, gradCacheChunk = batch } = config.train;
  const { chunk = gradCacheChunk, isReplayed = chunk < batch, maxHeldBytes = MAX_HELD_BYTES } = options;
  const { replicas = { names: [undefined], count: 1, first: 0 } } = options;
  const division = { chunk, replicas };
  const isHeld = isReplayed && batch * config.model.image.size ** 2 * 3 <= maxHeldBytes;
  const running = roundsFrom(start, data, config, division);
  let position = start;
  try {
    for (;;) {
      const next = new ReplayableBatch(data, config, division, running, position, isHeld);
      yield next;
      if (next.position === undefined) throw new Error('the chunks of a batch were not consumed');
      position = next.position;
    }
  } finally {
    await running.return();
  }
}

/**
 * Checks before training that captions fit in the text positions.
 * @returns the number of captions to be truncated; 0 unless data.truncateCaptions is set
 * @throws DataError for captions that are empty or too long
 */
export function assertClipCaptionsFit(
  images: readonly CaptionedImage[],
  tokenizer: Tokenizer,
  config: ClipConfig,
): number {
  let long = 0;
  const all = images.flatMap(({ captions, path }) => captions.map((caption) => ({ caption, path })));
  for (const { caption, path } of all) {
    try {
      textTokens(caption, tokenizer, config.model);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      if (!config.data.truncateCaptions || tokenizer.encode(caption).length === 0) {
        throw new DataError(error.message, {
          ...(error.code && { code: error.code }),
          where: path,
          fix: 'shorten the caption, raise model.text.length, or set data.truncateCaptions to cut such captions',
        });
      }
      long++;
    }
  }
  return long;
}
