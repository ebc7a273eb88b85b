// The order in which training visits examples: a new shuffle for each epoch, in whole batches, resumable from two
// numbers.

import { RandomStream } from '../util/random.ts';

/** A position in the data: the epoch, and how many of its examples are used up. */
export interface BatchPosition {
  readonly epoch: number;
  readonly index: number;
}

/** A shuffle of examples 0 … count − 1 for each epoch. */
export interface Shuffle {
  readonly count: number;
  /** The example at a place of an epoch. */
  at(epoch: number, place: number): number;
}

/** Uniform over all orders of the examples. */
export class FullShuffle implements Shuffle {
  readonly count: number;
  readonly #seed: number;
  #epoch = -1;
  #shuffled = new Int32Array(0);

  constructor(count: number, seed: number) {
    this.count = count;
    this.#seed = seed;
  }

  at(epoch: number, place: number): number {
    if (epoch !== this.#epoch) {
      this.#shuffled = Int32Array.from({ length: this.count }, (_, i) => i);
      new RandomStream(this.#seed, 'order', epoch).shuffle(this.#shuffled);
      this.#epoch = epoch;
    }
    return this.#shuffled[place] as number;
  }
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

/** An example in its turn. */
export interface Turn {
  readonly index: number;
  readonly epoch: number;
  /** After this example. */
  readonly position: BatchPosition;
}

/** Endless turns of a shuffle: the same for the same seed, from whatever position they start. */
export function* turns(
  shuffle: Shuffle,
  { epoch, index }: BatchPosition = { epoch: 0, index: 0 },
): Generator<Turn, never> {
  if (shuffle.count < 1) throw new RangeError('an order of no examples');
  for (;;) {
    if (index >= shuffle.count) {
      epoch += 1;
      index = 0;
    }
    const example = shuffle.at(epoch, index++);
    yield { index: example, epoch, position: { epoch, index } };
  }
}

/** Endless batches of indices in a full shuffle: the same for the same seed, from whatever position they start. */
export class ShuffledOrder implements Iterable<OrderedBatch> {
  readonly #batch: number;
  readonly #turns: Generator<Turn, never>;

  constructor({ count, batch, seed, position }: OrderOptions) {
    if (count < 1) throw new RangeError('an order of no examples');
    this.#batch = batch;
    this.#turns = turns(new FullShuffle(count, seed), position);
  }

  *[Symbol.iterator](): Generator<OrderedBatch, never> {
    for (;;) yield this.next();
  }

  next(): OrderedBatch {
    const taken = Array.from({ length: this.#batch }, () => this.#turns.next().value);
    return {
      indices: Int32Array.from(taken, ({ index }) => index),
      epochs: Int32Array.from(taken, ({ epoch }) => epoch),
      position: (taken.at(-1) as Turn).position,
    };
  }
}
