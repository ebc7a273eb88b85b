// Shuffled batches of images, decoded ahead of training. The contents of a batch depend on the seed and the position
// only: each epoch and image has a separate random stream for its crop.

import { DataError } from '../util/errors.ts';
import { prefetch } from '../util/prefetch.ts';
import { RandomStream } from '../util/random.ts';
import { type Crop, type DecodeOptions, decodeImage } from './decode.ts';
import type { CaptionedImage } from './image.ts';
import { type BatchPosition, type OrderedBatch, ShuffledOrder } from './order.ts';
import { mirror } from './orientation.ts';
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
  /** Batches in flight, the awaited one included (3 by default). */
  readonly prefetch?: number;
}

/** Data sets of fixed crops stay decoded in memory up to this size. */
const MAX_CACHED_BYTES = 2 ** 30;

/** Endless batches, in the order of `ShuffledOrder`. */
export class ImageBatches implements AsyncIterable<ImageBatch> {
  readonly #images: readonly CaptionedImage[];
  readonly #options: ImageBatchOptions;
  readonly #cache: Map<string, Uint8Array> | undefined;

  constructor(images: readonly CaptionedImage[], options: ImageBatchOptions) {
    const { size, crop } = options;
    const bytes = images.length * size ** 2 * 3;
    this.#images = images;
    this.#options = options;
    this.#cache = (crop === 'center' || crop === 'none') && bytes <= MAX_CACHED_BYTES ? new Map() : undefined;
  }

  [Symbol.asyncIterator](): AsyncGenerator<ImageBatch, void> {
    const { batch, seed, position, prefetch: depth = 3 } = this.#options;
    const order = new ShuffledOrder({ count: this.#images.length, batch, seed, position });
    return prefetch(order, depth, (ordered) => this.#read(ordered));
  }

  async #read({ indices, epochs, position }: OrderedBatch): Promise<ImageBatch> {
    const { seed, size } = this.#options;
    const length = size ** 2 * 3;
    const pixels = new Uint8Array(indices.length * length);
    const read = await Promise.all(
      Array.from(indices, (index, i) => this.#readImage(index, epochs[i] as number)),
    );
    for (const [i, { data }] of read.entries()) pixels.set(data, i * length);
    return {
      pixels,
      keys: read.map(({ image }) => image.key),
      captions: read.map(({ image: { captions, key } }, i) =>
        captions.length > 0 ? pickCaption(captions, seed, epochs[i] as number, key) : undefined,
      ),
      position,
    };
  }

  /** The image, cropped and mirrored; instead of one at fault, the next usable one in the source's order. */
  async #readImage(index: number, epoch: number): Promise<{ image: CaptionedImage; data: Uint8Array }> {
    const { seed, size, flip } = this.#options;
    for (let tried = 0; tried < this.#images.length; tried++) {
      const image = this.#images[(index + tried) % this.#images.length] as CaptionedImage;
      const random = new RandomStream(seed, 'crop', epoch, image.key);
      const isMirrored = flip && random.uniform() < 0.5;
      const data = await this.#decode(image, random);
      if (data) return { image, data: isMirrored ? mirror(data, size) : data };
    }
    throw new DataError('none of the images can be read', {
      code: 'E_NO_USABLE_IMAGE',
      where: this.#images[0]?.path ?? '',
      fix: 'mm data check lists the reason for each file',
    });
  }

  async #decode(image: CaptionedImage, random: RandomStream): Promise<Uint8Array | undefined> {
    const { faults, preprocessing, interpolation, size, crop, cropScale, grid } = this.#options;
    const cached = this.#cache?.get(image.key);
    if (cached) return cached;
    const data = await faults.guard(image, () =>
      decodeImage(image, { size, crop, cropScale, preprocessing, interpolation, random, grid }),
    );
    if (data) this.#cache?.set(image.key, data);
    return data;
  }
}
