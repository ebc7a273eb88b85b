// The order in which training visits examples: a new shuffle for each epoch, in whole batches, resumable from two
// numbers.

import { RandomStream } from '../util/random.ts';

/** A position in the data: the epoch, and how many of its examples are used up. */
export interface BatchPosition {
  readonly epoch: number;
  readonly index: number;
}

export interface OrderOptions {
  /** Number of examples. */
  readonly count: number;
  readonly batch: number;
  readonly seed: number;
  readonly position?: BatchPosition | undefined;
}

export interface OrderedBatch {
  readonly indices: Int32Array;
  /** Epoch of each example; a batch may reach into the next. */
  readonly epochs: Int32Array;
  /** After this batch. */
  readonly position: BatchPosition;
}

/** Endless batches of indices: the same for the same seed, from whatever position they start. */
export class ShuffledOrder implements Iterable<OrderedBatch> {
  readonly #count: number;
  readonly #batch: number;
  readonly #seed: number;
  #position: BatchPosition;
  #epoch = -1;
  #shuffled = new Int32Array(0);

  constructor({ count, batch, seed, position = { epoch: 0, index: 0 } }: OrderOptions) {
    if (count < 1) throw new RangeError('an order of no examples');
    this.#count = count;
    this.#batch = batch;
    this.#seed = seed;
    this.#position = position;
  }

  *[Symbol.iterator](): Generator<OrderedBatch, never> {
    for (;;) yield this.next();
  }

  next(): OrderedBatch {
    const indices = new Int32Array(this.#batch);
    const epochs = new Int32Array(this.#batch);
    let { epoch, index } = this.#position;
    for (let i = 0; i < this.#batch; i++) {
      if (index >= this.#count) {
        epoch += 1;
        index = 0;
      }
      indices[i] = this.#order(epoch)[index++] as number;
      epochs[i] = epoch;
    }
    this.#position = { epoch, index };
    return { indices, epochs, position: this.#position };
  }

  #order(epoch: number): Int32Array {
    if (epoch !== this.#epoch) {
      this.#shuffled = Int32Array.from({ length: this.#count }, (_, i) => i);
      new RandomStream(this.#seed, 'order', epoch).shuffle(this.#shuffled);
      this.#epoch = epoch;
    }
    return this.#shuffled;
  }
}
