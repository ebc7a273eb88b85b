// The examples of a data set that is read shard by shard: images, or their tokens. In memory are the examples of the
// shards of a window (shuffle.ts), and of the next window, which is read while those of the first are used.

import { mapConcurrently } from '../../util/concurrent.ts';
import { counted } from '../../util/counted.ts';
import { DataError } from '../../util/errors.ts';
import type { CaptionedImage } from '../image.ts';
import type { BatchPosition } from '../order.ts';
import { isUrl } from '../sources/streams.ts';
import { ShardShuffle, type Window } from './shuffle.ts';

export interface OpenShard<T> {
  /** In an order that depends on the shard's contents only; undefined for a turn that is passed over. */
  readonly images: readonly (T | undefined)[];
  /** Frees what the shard takes outside memory: its images can no longer be read. */
  close(): Promise<void>;
}

/** A shard of examples: a tar. */
export interface Shard<T> {
  readonly path: string;
  read(): Promise<OpenShard<T>>;
}

export interface ShardOptions<T> {
  /** Examples in each shard. */
  readonly counts: Int32Array;
  /** Examples that are shuffled together, at least; twice as many are in use at a time, at most. */
  readonly buffer: number;
  /** Whether an example is trained on; a turn of another is passed over. */
  isTrained(example: T): boolean;
}

/** An example in its turn (image-set.ts). */
export interface ShardTurn<T> {
  readonly images: readonly (T | undefined)[];
  readonly index: number;
  readonly epoch: number;
  readonly position: BatchPosition;
}

/** Bound on shards read at a time. */
const MAX_READ = 4;

/** Examples by shard. */
type Loaded<T> = ReadonlyMap<number, OpenShard<T>>;

interface Ended<T> {
  readonly loaded: Loaded<T>;
  readonly at: number;
}

async function closeAll<T>(loaded: Loaded<T>): Promise<void> {
  for (const shard of loaded.values()) await shard.close();
}

export class ShardedImages<T = CaptionedImage> {
  readonly count: number;
  readonly path: string;
  readonly #shards: readonly Shard<T>[];
  readonly #options: ShardOptions<T>;

  constructor(path: string, shards: readonly Shard<T>[], options: ShardOptions<T>) {
    this.path = path;
    this.count = options.counts.reduce((sum, count) => sum + count, 0);
    this.#shards = shards;
    this.#options = options;
  }

  async *turns(seed: number, position: BatchPosition = { epoch: 0, index: 0 }): AsyncGenerator<ShardTurn<T>> {
    const { counts, buffer } = this.#options;
    const shuffle = new ShardShuffle(counts, buffer, seed);
    const ahead = new ShardShuffle(counts, buffer, seed);
    let { epoch, index } = this.#normalized(position);
    let loading = this.#load(shuffle.window(epoch, index));
    /** Windows whose images may still be in use, with the turns that were given when they ended. */
    const ended: Ended<T>[] = [];
    let [used, finished] = [0, 0];
    try {
      for (;;) {
        const { end } = shuffle.window(epoch, index);
        const loaded = await loading;
        const next = this.#normalized({ epoch, index: end });
        loading = this.#load(ahead.window(next.epoch, next.index));
        for (; index < end; index++) {
          const { shard, sample } = shuffle.locate(shuffle.at(epoch, index));
          const { images } = loaded.get(shard) as OpenShard<T>;
          if (images[sample] === undefined) continue;
          used++;
          yield { images, index: sample, epoch, position: { epoch, index: index + 1 } };
        }
        ended.push({ loaded, at: used });
        while (ended[0] && used - ended[0].at >= 2 * buffer)
          await closeAll((ended.shift() as Ended<T>).loaded);
        if (next.epoch > epoch) finished++;
        // The first epoch may have been resumed near its end.
        if (finished > 1 && used === 0) throw this.#noneTrained();
        ({ epoch, index } = next);
      }
    } finally {
      // What is in use is freed when the program ends.
      await loading.then(closeAll, () => {});
    }
  }

  #normalized({ epoch, index }: BatchPosition): BatchPosition {
    return index >= this.count ? { epoch: epoch + 1, index: 0 } : { epoch, index };
  }

  #load({ shards }: Window): Promise<Loaded<T>> {
    const loading = mapConcurrently(
      [...shards],
      MAX_READ,
      async (shard): Promise<[number, OpenShard<T>]> => [shard, await this.#read(shard)],
    ).then((entries) => new Map(entries));
    loading.catch(() => {}); // thrown when its turn comes
    return loading;
  }

  async #read(shard: number): Promise<OpenShard<T>> {
    const { path, read } = this.#shards[shard] as Shard<T>;
    const { images, close } = await read();
    const count = this.#options.counts[shard] as number;
    if (images.length !== count) throw shardChanged(path, images.length, count);
    const trained = images.map((image) =>
      image !== undefined && this.#options.isTrained(image) ? image : undefined,
    );
    return { images: trained, close };
  }

  #noneTrained(): DataError {
    return new DataError('no image is left to train on', {
      code: 'E_NO_TRAINING_IMAGES',
      where: this.path,
      fix: 'add images with captions, or lower data.validation',
    });
  }
}

/** The DataError for a shard that has other images than were counted. */
export const shardChanged = (where: string, images: number, count: number): DataError =>
  new DataError(`the shard has ${counted(images, 'image')}, and had ${count} when it was counted`, {
    code: 'E_SHARD_CHANGED',
    where,
    fix: isUrl(where)
      ? 'remove the shard index in the cache folder (docs/FORMATS.md): what an address leads to is counted once'
      : 'leave the data as it is while it is read; run again, or resume, and it is counted again',
  });
