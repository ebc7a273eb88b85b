// Images that look nearly the same.

import { Int32List } from '../../util/int32-list.ts';
import { hashDistance, type PerceptualHash } from './perceptual-hash.ts';

/** Different bits, of 64, up to which two images count as near duplicates. */
export const MAX_DISTANCE = 4;
/** Parts of a hash: of `MAX_DISTANCE` different bits, at least one part has none. */
const BANDS = MAX_DISTANCE + 1;
const BAND_BITS = Math.ceil(64 / BANDS);

/** Hashes among which a near one is found without comparing with all: about 40 bytes each. */
export class Looks {
  /** High and low half of each hash. */
  readonly #words = new Int32List();
  /** Newest hash by its bits of each band; before each hash the one before it with those bits; −1 is none. */
  readonly #newest = Array.from({ length: BANDS }, () => new Int32Array(2 ** BAND_BITS).fill(-1));
  readonly #before = Array.from({ length: BANDS }, () => new Int32List());

  get size(): number {
    return this.#words.length / 2;
  }

  /** Number of the first hash within `MAX_DISTANCE`; undefined when there is none. */
  find(hash: PerceptualHash): number | undefined {
    let found = this.size;
    for (const [band, before] of this.#before.entries()) {
      let other = this.#newest[band]?.[bandOf(hash, band)] as number;
      for (; other >= 0; other = before.at(other))
        if (other < found && hashDistance(hash, this.#hash(other)) <= MAX_DISTANCE) found = other;
    }
    return found < this.size ? found : undefined;
  }

  /** Adds a hash, and returns its number. */
  add(hash: PerceptualHash): number {
    const number = this.size;
    for (const [band, before] of this.#before.entries()) {
      const newest = this.#newest[band] as Int32Array;
      const bits = bandOf(hash, band);
      before.push(newest[bits] as number);
      newest[bits] = number;
    }
    this.#words.push(hash.high);
    this.#words.push(hash.low);
    return number;
  }

  #hash(number: number): PerceptualHash {
    return { high: this.#words.at(2 * number), low: this.#words.at(2 * number + 1) };
  }
}

/** Bits `band` × 13 and the 12 after it, counted from the lowest. */
function bandOf({ high, low }: PerceptualHash, band: number): number {
  const start = band * BAND_BITS;
  const bits =
    start >= 32
      ? high >>> (start - 32)
      : start === 0
        ? low
        : ((low >>> start) | (high << (32 - start))) >>> 0;
  return bits & (2 ** BAND_BITS - 1);
}
