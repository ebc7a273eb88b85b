// The order in which training visits examples: a new shuffle for each epoch, resumable from two numbers.

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
