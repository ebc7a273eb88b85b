// The shuffle of a data set that is read shard by shard. An epoch visits the shards in a shuffled order, a window of
// them at a time; the examples of a window are shuffled as a whole. What is in memory is one number for each shard and
// one for each example of a window, so that any place of any epoch is found at once: that is what resuming needs.

import { RandomStream } from '../../util/random.ts';
import type { Shuffle } from '../order.ts';

/** Shards whose examples are shuffled together. */
export interface Window {
  /** Places in the epoch: from `start` up to, but not including, `end`. */
  readonly start: number;
  readonly end: number;
  readonly shards: Int32Array;
}

/** Indices of examples are 32-bit integers. */
const MAX_EXAMPLES = 2 ** 31 - 1;

export class ShardShuffle implements Shuffle {
  readonly count: number;
  readonly #seed: number;
  readonly #buffer: number;
  readonly #counts: Int32Array;
  /** Index of the first example of each shard. */
  readonly #firsts: Int32Array;
  #epoch = -1;
  #shards: Int32Array = new Int32Array(0);
  /** Place in the epoch at which each window starts, then the end; and the shard in `#shards` it starts with. */
  #starts: number[] = [];
  #firstShards: number[] = [];
  #window = -1;
  #shuffled: Int32Array = new Int32Array(0);

  /**
   * @param counts examples in each shard
   * @param buffer the least number of examples in a window, but for the last
   */
  constructor(counts: Int32Array, buffer: number, seed: number) {
    let first = 0;
    this.#firsts = counts.map((count) => {
      const start = first;
      first += count;
      if (first > MAX_EXAMPLES) throw new RangeError(`more than ${MAX_EXAMPLES} examples`);
      return start;
    });
    this.count = first;
    this.#counts = counts;
    this.#buffer = buffer;
    this.#seed = seed;
  }

  at(epoch: number, place: number): number {
    const window = this.#find(epoch, place);
    if (window !== this.#window) {
      this.#shuffled = this.#examplesOf(window);
      new RandomStream(this.#seed, 'window order', epoch, window).shuffle(this.#shuffled);
      this.#window = window;
    }
    return this.#shuffled[place - (this.#starts[window] as number)] as number;
  }

  /** The window that a place of an epoch is in. */
  window(epoch: number, place: number): Window {
    const window = this.#find(epoch, place);
    const [start, end] = [this.#starts[window] as number, this.#starts[window + 1] as number];
    return {
      start,
      end,
      shards: this.#shards.slice(this.#firstShards[window], this.#firstShards[window + 1]),
    };
  }

  /** The shard of an example, and its place in it. */
  locate(index: number): { readonly shard: number; readonly sample: number } {
    const shard = lastAtMost(this.#firsts, index);
    return { shard, sample: index - (this.#firsts[shard] as number) };
  }

  #find(epoch: number, place: number): number {
    if (epoch !== this.#epoch) this.#begin(epoch);
    return lastAtMost(this.#starts, place);
  }

  #begin(epoch: number): void {
    // Empty shards are visited by none: `locate` finds the last shard of those that start at an example.
    this.#shards = Int32Array.from(this.#counts.keys()).filter(
      (shard) => (this.#counts[shard] as number) > 0,
    );
    new RandomStream(this.#seed, 'shard order', epoch).shuffle(this.#shards);
    this.#starts = [];
    this.#firstShards = [];
    let [place, start] = [0, Number.NEGATIVE_INFINITY];
    for (const [i, shard] of this.#shards.entries()) {
      if (place - start >= this.#buffer) {
        start = place;
        this.#starts.push(place);
        this.#firstShards.push(i);
      }
      place += this.#counts[shard] as number;
    }
    this.#starts.push(place);
    this.#firstShards.push(this.#shards.length);
    this.#epoch = epoch;
    this.#window = -1;
  }

  #examplesOf(window: number): Int32Array {
    const shards = this.#shards.subarray(this.#firstShards[window], this.#firstShards[window + 1]);
    const examples = new Int32Array((this.#starts[window + 1] as number) - (this.#starts[window] as number));
    let next = 0;
    for (const shard of shards)
      for (let i = 0; i < (this.#counts[shard] as number); i++)
        examples[next++] = (this.#firsts[shard] as number) + i;
    return examples;
  }
}

/** Index of the last of the ascending numbers that is not above `value`. */
function lastAtMost(numbers: ArrayLike<number>, value: number): number {
  let [low, high] = [0, numbers.length];
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((numbers[middle] as number) <= value) low = middle;
    else high = middle;
  }
  return low;
}
