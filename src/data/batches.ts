// Shuffled batches of pictures, decoded ahead of training. What a batch holds depends on the seed and the position
// only: crops are drawn from a stream of their own for each epoch and picture.

import { DataError } from '../util/errors.ts';
import { RandomStream } from '../util/random.ts';
import { type Crop, type DecodeOptions, decodePicture } from './decode.ts';
import { type BatchPosition, ShuffledOrder } from './order.ts';
import { mirror } from './orientation.ts';
import type { Picture } from './picture.ts';
import { captionsOf, drawCaption } from './sources/captions.ts';
import type { Faults } from './sources/faults.ts';

export type { BatchPosition } from './order.ts';

export interface PictureBatch {
  /** RGB, batch × size × size × 3 */
  readonly pixels: Uint8Array;
  readonly keys: readonly string[];
  /** Of several captions of a picture, the one that its epoch draws. */
  readonly captions: readonly (string | undefined)[];
  /** Where the data goes on after this batch. */
  readonly position: BatchPosition;
}

export interface PictureBatchOptions {
  readonly size: number;
  readonly batch: number;
  readonly seed: number;
  readonly crop: Crop;
  /** Least side of a random crop, as a share of the shorter side. */
  readonly cropScale: number;
  /** Codes on a side, more than the pixels of a picture that is left out; any picture is used without it. */
  readonly grid?: number;
  readonly preprocessing?: DecodeOptions['preprocessing'];
  /** Mirror half of the pictures. */
  readonly flip: boolean;
  readonly faults: Faults;
  readonly position?: BatchPosition | undefined;
  /** Batches decoded ahead. */
  readonly prefetch?: number;
}

/** Decoded data sets up to this many bytes stay in memory when the crop is always the same. */
const CACHE_BYTES = 2 ** 30;

/** Endless batches, in the order of `ShuffledOrder`. */
export class PictureBatches implements AsyncIterable<PictureBatch> {
  readonly #pictures: readonly Picture[];
  readonly #options: PictureBatchOptions;
  readonly #cache: Map<string, Uint8Array> | undefined;

  constructor(pictures: readonly Picture[], options: PictureBatchOptions) {
    const { size, crop } = options;
    const bytes = pictures.length * size ** 2 * 3;
    this.#pictures = pictures;
    this.#options = options;
    this.#cache = (crop === 'center' || crop === 'none') && bytes <= CACHE_BYTES ? new Map() : undefined;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<PictureBatch, void> {
    const { batch, seed, position, prefetch = 3 } = this.#options;
    const order = new ShuffledOrder({ count: this.#pictures.length, batch, seed, position });
    const ahead: Promise<PictureBatch>[] = [];
    try {
      for (;;) {
        while (ahead.length < prefetch) {
          const { indices, epochs, position: after } = order.next();
          const made = this.#make(indices, epochs, after);
          made.catch(() => {}); // seen when its turn comes
          ahead.push(made);
        }
        yield await (ahead.shift() as Promise<PictureBatch>);
      }
    } finally {
      await Promise.allSettled(ahead);
    }
  }

  async #make(indices: Int32Array, epochs: Int32Array, position: BatchPosition): Promise<PictureBatch> {
    const length = this.#options.size ** 2 * 3;
    const pixels = new Uint8Array(indices.length * length);
    const drawn = await Promise.all(
      Array.from(indices, (index, i) => this.#draw(index, epochs[i] as number)),
    );
    for (const [i, { data }] of drawn.entries()) pixels.set(data, i * length);
    const caption = (picture: Picture, epoch: number): string | undefined =>
      picture.caption && drawCaption(captionsOf(picture), this.#options.seed, epoch, picture.key);
    return {
      pixels,
      keys: drawn.map(({ picture }) => picture.key),
      captions: drawn.map(({ picture }, i) => caption(picture, epochs[i] as number)),
      position,
    };
  }

  /** The picture, or the next usable one in the folder's order in place of one at fault; cropped and mirrored. */
  async #draw(index: number, epoch: number): Promise<{ picture: Picture; data: Uint8Array }> {
    const { seed, size, flip } = this.#options;
    for (let tried = 0; tried < this.#pictures.length; tried++) {
      const picture = this.#pictures[(index + tried) % this.#pictures.length] as Picture;
      const random = new RandomStream(seed, 'crop', epoch, picture.key);
      const isMirrored = flip && random.uniform() < 0.5;
      const data = await this.#decode(picture, random);
      if (data) return { picture, data: isMirrored ? mirror(data, size) : data };
    }
    throw new DataError('none of the pictures can be read', {
      where: this.#pictures[0]?.path ?? '',
      fix: 'mm data check lists what is wrong with each file',
    });
  }

  async #decode(picture: Picture, random: RandomStream): Promise<Uint8Array | undefined> {
    const { faults, preprocessing, size, crop, cropScale, grid } = this.#options;
    const cached = this.#cache?.get(picture.key);
    if (cached) return cached;
    const data = await faults.guard(picture, () =>
      decodePicture(picture, { size, crop, cropScale, preprocessing, random, grid }),
    );
    if (data) this.#cache?.set(picture.key, data);
    return data;
  }
}
