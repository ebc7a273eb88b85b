// Shuffled batches of images, decoded ahead of training. What a batch holds depends on the seed and the position
// only: crops are drawn from a stream of their own for each epoch and image.

import { DataError } from '../util/errors.ts';
import { RandomStream } from '../util/random.ts';
import { type Crop, type DecodeOptions, decodeImage } from './decode.ts';
import type { CaptionedImage } from './image.ts';
import { type BatchPosition, ShuffledOrder } from './order.ts';
import { mirror } from './orientation.ts';
import { captionsOf, pickCaption } from './sources/captions.ts';
import type { Faults } from './sources/faults.ts';

export type { BatchPosition } from './order.ts';

export interface ImageBatch {
  /** RGB, batch × size × size × 3 */
  readonly pixels: Uint8Array;
  readonly keys: readonly string[];
  /** Of several captions of an image, the one that its epoch draws. */
  readonly captions: readonly (string | undefined)[];
  /** Where the data goes on after this batch. */
  readonly position: BatchPosition;
}

export interface ImageBatchOptions {
  readonly size: number;
  readonly batch: number;
  readonly seed: number;
  readonly crop: Crop;
  /** Least side of a random crop, as a share of the shorter side. */
  readonly cropScale: number;
  /** Codes on a side, more than the pixels of an image that is left out; any image is used without it. */
  readonly grid?: number;
  readonly preprocessing?: DecodeOptions['preprocessing'];
  /** Mirror half of the images. */
  readonly flip: boolean;
  readonly faults: Faults;
  readonly position?: BatchPosition | undefined;
  /** Batches decoded ahead. */
  readonly prefetch?: number;
}

/** Decoded data sets up to this many bytes stay in memory when the crop is always the same. */
const CACHE_BYTES = 2 ** 30;

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
    this.#cache = (crop === 'center' || crop === 'none') && bytes <= CACHE_BYTES ? new Map() : undefined;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ImageBatch, void> {
    const { batch, seed, position, prefetch = 3 } = this.#options;
    const order = new ShuffledOrder({ count: this.#images.length, batch, seed, position });
    const ahead: Promise<ImageBatch>[] = [];
    try {
      for (;;) {
        while (ahead.length < prefetch) {
          const { indices, epochs, position: after } = order.next();
          const made = this.#make(indices, epochs, after);
          made.catch(() => {}); // seen when its turn comes
          ahead.push(made);
        }
        yield await (ahead.shift() as Promise<ImageBatch>);
      }
    } finally {
      await Promise.allSettled(ahead);
    }
  }

  async #make(indices: Int32Array, epochs: Int32Array, position: BatchPosition): Promise<ImageBatch> {
    const length = this.#options.size ** 2 * 3;
    const pixels = new Uint8Array(indices.length * length);
    const drawn = await Promise.all(
      Array.from(indices, (index, i) => this.#draw(index, epochs[i] as number)),
    );
    for (const [i, { data }] of drawn.entries()) pixels.set(data, i * length);
    const caption = (image: CaptionedImage, epoch: number): string | undefined =>
      image.caption && pickCaption(captionsOf(image), this.#options.seed, epoch, image.key);
    return {
      pixels,
      keys: drawn.map(({ image }) => image.key),
      captions: drawn.map(({ image }, i) => caption(image, epochs[i] as number)),
      position,
    };
  }

  /** The image, or the next usable one in the folder's order in place of one at fault; cropped and mirrored. */
  async #draw(index: number, epoch: number): Promise<{ image: CaptionedImage; data: Uint8Array }> {
    const { seed, size, flip } = this.#options;
    for (let tried = 0; tried < this.#images.length; tried++) {
      const image = this.#images[(index + tried) % this.#images.length] as CaptionedImage;
      const random = new RandomStream(seed, 'crop', epoch, image.key);
      const isMirrored = flip && random.uniform() < 0.5;
      const data = await this.#decode(image, random);
      if (data) return { image, data: isMirrored ? mirror(data, size) : data };
    }
    throw new DataError('none of the images can be read', {
      where: this.#images[0]?.path ?? '',
      fix: 'mm data check lists what is wrong with each file',
    });
  }

  async #decode(image: CaptionedImage, random: RandomStream): Promise<Uint8Array | undefined> {
    const { faults, preprocessing, size, crop, cropScale, grid } = this.#options;
    const cached = this.#cache?.get(image.key);
    if (cached) return cached;
    const data = await faults.guard(image, () =>
      decodeImage(image, { size, crop, cropScale, preprocessing, random, grid }),
    );
    if (data) this.#cache?.set(image.key, data);
    return data;
  }
}
