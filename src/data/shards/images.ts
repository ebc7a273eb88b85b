// The images of a data set that is read shard by shard. In memory are the lists of images of the shards of a window
// (shuffle.ts), and of the next window, which is read while the images of the first are used.

import { mapConcurrently } from '../../util/concurrent.ts';
import { DataError } from '../../util/errors.ts';
import type { CaptionedImage } from '../image.ts';
import type { ImageSet, ImageTurn } from '../image-set.ts';
import type { BatchPosition } from '../order.ts';
import { ShardShuffle, type Window } from './shuffle.ts';

export type ShardImages = readonly (CaptionedImage | undefined)[];

/** A shard of images: a tar. */
export interface ImageShard {
  readonly path: string;
  /** Its images, in an order that depends on its contents only; undefined for a turn that is passed over. */
  read(): Promise<ShardImages>;
}

export interface ShardOptions {
  /** Images in each shard. */
  readonly counts: Int32Array;
  /** Images that are shuffled together, at least. */
  readonly buffer: number;
  /** Whether an image is trained on; a turn of another is passed over. */
  isTrained(image: CaptionedImage): boolean;
}

/** Bound on shards read at a time. */
const MAX_READ = 4;

/** Images by shard. */
type Loaded = ReadonlyMap<number, ShardImages>;

export class ShardedImages implements ImageSet {
  readonly count: number;
  readonly path: string;
  readonly #shards: readonly ImageShard[];
  readonly #options: ShardOptions;

  constructor(path: string, shards: readonly ImageShard[], options: ShardOptions) {
    this.path = path;
    this.count = options.counts.reduce((sum, count) => sum + count, 0);
    this.#shards = shards;
    this.#options = options;
  }

  async *turns(seed: number, position: BatchPosition = { epoch: 0, index: 0 }): AsyncGenerator<ImageTurn> {
    const { counts, buffer } = this.#options;
    const shuffle = new ShardShuffle(counts, buffer, seed);
    const ahead = new ShardShuffle(counts, buffer, seed);
    let { epoch, index } = this.#normalized(position);
    let loading = this.#load(shuffle.window(epoch, index));
    let [used, finished] = [0, 0];
    try {
      for (;;) {
        const { end } = shuffle.window(epoch, index);
        const loaded = await loading;
        const next = this.#normalized({ epoch, index: end });
        loading = this.#load(ahead.window(next.epoch, next.index));
        for (; index < end; index++) {
          const { shard, sample } = shuffle.locate(shuffle.at(epoch, index));
          const images = loaded.get(shard) as ShardImages;
          if (images[sample] === undefined) continue;
          used++;
          yield { images, index: sample, epoch, position: { epoch, index: index + 1 } };
        }
        if (next.epoch > epoch) finished++;
        // The first epoch may have been resumed near its end.
        if (finished > 1 && used === 0) throw this.#noneTrained();
        ({ epoch, index } = next);
      }
    } finally {
      await loading.catch(() => {});
    }
  }

  #normalized({ epoch, index }: BatchPosition): BatchPosition {
    return index >= this.count ? { epoch: epoch + 1, index: 0 } : { epoch, index };
  }

  #load({ shards }: Window): Promise<Loaded> {
    const loading = mapConcurrently(
      [...shards],
      MAX_READ,
      async (shard): Promise<[number, ShardImages]> => [shard, await this.#read(shard)],
    ).then((entries) => new Map(entries));
    loading.catch(() => {}); // thrown when its turn comes
    return loading;
  }

  async #read(shard: number): Promise<ShardImages> {
    const { path, read } = this.#shards[shard] as ImageShard;
    const images = await read();
    const count = this.#options.counts[shard];
    if (images.length !== count) {
      throw new DataError(`the shard has ${images.length} images, and had ${count} when the run started`, {
        code: 'E_SHARD_CHANGED',
        where: path,
        fix: 'leave the data as it is while a run reads it; a new run, or one that is resumed, counts it again',
      });
    }
    return images.map((image) => (image && this.#options.isTrained(image) ? image : undefined));
  }

  #noneTrained(): DataError {
    return new DataError('no image is left to train on', {
      code: 'E_NO_TRAINING_IMAGES',
      where: this.path,
      fix: 'add images with captions, or lower data.validation',
    });
  }
}
