// Shuffled batches of images, decoded ahead of training. The contents of a batch depend on the seed and the position
// only: each epoch and image has a separate random stream for its crop.

import { DataError } from '../util/errors.ts';
import { prefetch } from '../util/prefetch.ts';
import { RandomStream } from '../util/random.ts';
import { type DecodeOptions, decodeImage } from './decode.ts';
import type { Crop } from './frame.ts';
import type { CaptionedImage } from './image.ts';
import { type ImageSet, type Images, type ImageTurn, imageList } from './image-set.ts';
import type { BatchPosition } from './order.ts';
import { mirror } from './orientation.ts';
import { decodeReducedJpeg } from './reduced-jpeg.ts';
import { pickCaption } from './sources/captions.ts';
import type { Faults } from './sources/faults.ts';

export type { BatchPosition } from './order.ts';

export interface ImageBatch {
  /** RGB, batch × size × size × 3 */
  readonly pixels: Uint8Array;
  readonly keys: readonly string[];
  /** One caption for each image, picked for its epoch; undefined for an image without captions. */
  readonly captions: readonly (string | undefined)[];
  /** Position in the data after this batch. */
  readonly position: BatchPosition;
}

export interface ImageBatchOptions {
  readonly size: number;
  readonly batch: number;
  readonly seed: number;
  readonly crop: Crop;
  /** Smallest side of a random crop, as a share of the shorter side. */
  readonly cropScale: number;
  /** Codes on a side: images with fewer pixels on a side are skipped. Without it, none is. */
  readonly grid?: number;
  readonly preprocessing?: DecodeOptions['preprocessing'];
  readonly interpolation?: DecodeOptions['interpolation'];
  /** Mirror half of the images. */
  readonly flip: boolean;
  readonly faults: Faults;
  readonly position?: BatchPosition | undefined;
  /** The part of each batch that is read, where several workers read one batch together; all of it by default. */
  readonly share?: WorkerShare | undefined;
  /** Batches in flight, the awaited one included (3 by default). */
  readonly prefetch?: number;
}

/** A worker's part of a batch, whose images are divided equally in the order of the ranks. */
export interface WorkerShare {
  readonly rank: number;
  readonly workers: number;
}

/** Data sets of fixed crops stay decoded in memory up to this size. */
const MAX_CACHED_BYTES = 2 ** 30;

/** Endless batches, in the order of the set's turns. */
export class ImageBatches implements AsyncIterable<ImageBatch> {
  readonly #set: ImageSet;
  readonly #options: ImageBatchOptions;
  readonly #cache: Map<string, Uint8Array> | undefined;

  constructor(images: Images, options: ImageBatchOptions) {
    const { size, crop, batch, share } = options;
    if (share && batch % share.workers !== 0)
      throw new RangeError(`a batch of ${batch} has no equal parts for ${share.workers} workers`);
    this.#set = 'turns' in images ? images : imageList(images);
    const bytes = this.#set.count * size ** 2 * 3;
    this.#options = options;
    this.#cache = (crop === 'center' || crop === 'none') && bytes <= MAX_CACHED_BYTES ? new Map() : undefined;
  }

  [Symbol.asyncIterator](): AsyncGenerator<ImageBatch, void> {
    return prefetch(this.#ordered(), this.#options.prefetch ?? 3, (batch) => this.#read(batch));
  }

  async *#ordered(): AsyncGenerator<readonly ImageTurn[], void> {
    const { batch, seed, position } = this.#options;
    let taken: ImageTurn[] = [];
    for await (const turn of this.#set.turns(seed, position)) {
      taken.push(turn);
      if (taken.length < batch) continue;
      yield taken;
      taken = [];
    }
  }

  async #read(batch: readonly ImageTurn[]): Promise<ImageBatch> {
    const { seed, size, share: { rank, workers } = { rank: 0, workers: 1 } } = this.#options;
    const part = batch.length / workers;
    const turns = batch.slice(rank * part, (rank + 1) * part);
    const length = size ** 2 * 3;
    // Each image fills its place; zeros would only cost time.
    const pixels = new Uint8Array(Buffer.allocUnsafeSlow(turns.length * length).buffer);
    const images = await Promise.all(
      turns.map((turn, i) => this.#readImage(turn, batch, pixels.subarray(i * length, (i + 1) * length))),
    );
    return {
      pixels,
      keys: images.map(({ key }) => key),
      captions: images.map(({ captions, key }, i) =>
        captions.length > 0 ? pickCaption(captions, seed, (turns[i] as ImageTurn).epoch, key) : undefined,
      ),
      position: (batch.at(-1) as ImageTurn).position,
    };
  }

  /**
   * Puts the image, cropped and mirrored, into its place in the batch; instead of one at fault, the next usable one in
   * the source's order.
   */
  async #readImage(turn: ImageTurn, batch: readonly ImageTurn[], place: Uint8Array): Promise<CaptionedImage> {
    const { seed, size, flip } = this.#options;
    for (const image of candidates(turn, batch)) {
      const random = new RandomStream(seed, 'crop', turn.epoch, image.key);
      const isMirrored = flip && random.uniform() < 0.5;
      const data = await this.#decode(image, random, isMirrored ? undefined : place);
      if (data === undefined) continue;
      if (isMirrored) mirror(data, size, place);
      else if (data !== place) place.set(data);
      return image;
    }
    throw new DataError('none of the images can be read', {
      code: 'E_NO_USABLE_IMAGE',
      where: turn.images.find((image) => image)?.path ?? this.#set.path,
      fix: 'mm data check lists the reason for each file',
    });
  }

  /** The cropped image, in `place` where that is given and it is not in memory yet. */
  async #decode(
    image: CaptionedImage,
    random: RandomStream,
    place: Uint8Array | undefined,
  ): Promise<Uint8Array | undefined> {
    const { faults, preprocessing, interpolation, size, crop, cropScale, grid } = this.#options;
    const cached = this.#cache?.get(image.key);
    if (cached) return cached;
    const data = await faults.guard(image, () =>
      decodeImage(image, {
        ...{ size, crop, cropScale, preprocessing, interpolation, random, grid },
        ...{ jpeg: decodeReducedJpeg, place },
      }),
    );
    if (data) this.#cache?.set(image.key, data);
    return data;
  }
}

/** An image, those after it in the source's order, and those of other shards that its batch takes images of. */
function* candidates(turn: ImageTurn, batch: readonly ImageTurn[]): Generator<CaptionedImage> {
  const tried = new Set<ImageTurn['images']>();
  for (const { images, index } of [turn, ...batch]) {
    if (tried.has(images)) continue;
    tried.add(images);
    for (let i = 0; i < images.length; i++) {
      const image = images[(index + i) % images.length];
      if (image) yield image;
    }
  }
}
