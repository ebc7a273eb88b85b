// Shuffled batches of pictures, decoded ahead of training. What a batch holds depends on the seed and the position
// only: crops are drawn from a stream of their own for each epoch and picture.

import { DataError } from '../util/errors.ts';
import { RandomStream } from '../util/random.ts';
import { type DecodeOptions, decodePicture } from './decode.ts';
import type { Faults } from './faults.ts';
import { type BatchPosition, ShuffledOrder } from './order.ts';
import type { Picture } from './source.ts';

export type { BatchPosition } from './order.ts';

export interface PictureBatch {
  /** RGB, batch × size × size × 3 */
  readonly pixels: Uint8Array;
  readonly keys: readonly string[];
  /** Where the data goes on after this batch. */
  readonly position: BatchPosition;
}

export interface PictureBatchOptions {
  readonly size: number;
  readonly batch: number;
  readonly seed: number;
  readonly crop: DecodeOptions['crop'];
  readonly cropScale: number;
  readonly flip: boolean;
  readonly faults: Faults;
  readonly position?: BatchPosition | undefined;
  /** Batches decoded ahead. */
  readonly prefetch?: number;
}

/** Decoded data sets up to this many bytes stay in memory when the crop is always the same. */
const CACHE_BYTES = 2 ** 30;

/** Endless batches. */
export class PictureBatches implements AsyncIterable<PictureBatch> {
  readonly #pictures: readonly Picture[];
  readonly #options: PictureBatchOptions;
  readonly #cache: Map<string, Uint8Array> | undefined;

  constructor(pictures: readonly Picture[], options: PictureBatchOptions) {
    const { size, crop, flip } = options;
    const isFixed = crop !== 'random' && !flip;
    this.#pictures = pictures;
    this.#options = options;
    this.#cache = isFixed && pictures.length * size ** 2 * 3 <= CACHE_BYTES ? new Map() : undefined;
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
    const decoded = await Promise.all(
      Array.from(indices, (index, i) => this.#decode(index, epochs[i] as number)),
    );
    for (const [i, { data }] of decoded.entries()) pixels.set(data, i * length);
    return { pixels, keys: decoded.map(({ key }) => key), position };
  }

  /** The picture, or the next usable one in the folder's order in place of one at fault. */
  async #decode(index: number, epoch: number): Promise<{ key: string; data: Uint8Array }> {
    const { faults, seed, size, crop, cropScale, flip } = this.#options;
    for (let tried = 0; tried < this.#pictures.length; tried++) {
      const picture = this.#pictures[(index + tried) % this.#pictures.length] as Picture;
      const cached = this.#cache?.get(picture.key);
      if (cached) return { key: picture.key, data: cached };
      const random = new RandomStream(seed, 'crop', epoch, picture.key);
      const data = await faults.guard(picture, () =>
        decodePicture(picture.path, { size, crop, cropScale, random, flip }),
      );
      if (!data) continue;
      this.#cache?.set(picture.key, data);
      return { key: picture.key, data };
    }
    throw new DataError('none of the pictures can be read', {
      where: this.#pictures[0]?.path ?? '',
      fix: 'mm data check lists what is wrong with each file',
    });
  }
}
