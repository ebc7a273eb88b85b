// Groups of images whose codes are nearly the same: at least nine of ten are equal, place for place. Codes are compared
// at some of their places, and only with images that share a run of them, so that a million images are compared in
// seconds and without their codes in memory.

import { RandomStream } from '../../util/random.ts';

/** Share of equal codes from which two images count as near duplicates. */
export const NEAR_SHARE = 0.9;
/** Places that are compared, at most: the share is known to about 0.03. */
const PLACES = 128;
/** Runs of places; images that share none are not compared: of those with 90 % equal codes 1 in 14, with 95 % 1 in 500. */
const RUNS = 8;
const RUN_PLACES = 12;
/** Images that are compared with one another; later ones are compared with these only. */
export const MAX_COMPARED = 250_000;
/** Images of one run that are compared: a plain background is common to many. */
const MAX_TRIED = 64;

export class NearCodes {
  readonly #places: Int32Array;
  readonly #runs: readonly Int32Array[];
  /** Codes at the places, image by image, doubled when they are full. */
  #codes = new Uint16Array(0);
  /** Newest image by its run of codes, and before each image the one before it with that run, or −1. */
  readonly #newest = Array.from({ length: RUNS }, () => new Map<number, number>());
  readonly #before: number[][] = Array.from({ length: RUNS }, () => []);
  #count = 0;
  /** Images that were not kept for comparison. */
  beyond = 0;

  /** @param length codes of an image */
  constructor(length: number) {
    const order = new RandomStream('near codes').shuffle(Int32Array.from({ length }, (_, i) => i));
    this.#places = order.slice(0, Math.min(PLACES, length));
    const places = this.#places.length;
    this.#runs = Array.from({ length: RUNS }, (_, run) =>
      Int32Array.from({ length: Math.min(RUN_PLACES, places) }, (_, i) => (run * RUN_PLACES + i) % places),
    );
  }

  /**
   * Number of an earlier image that is nearly the same; undefined when there is none, and the image is kept then.
   * @param codes of an image
   */
  find(codes: Uint16Array): { readonly near: number } | { readonly added: number | undefined } {
    const own = Uint16Array.from(this.#places, (place) => codes[place] as number);
    const keys = this.#runs.map((places) => places.reduce((hash, at) => mix(hash, own[at] as number), 0));
    for (const [run, key] of keys.entries()) {
      let tried = 0;
      let other = this.#newest[run]?.get(key) ?? -1;
      for (; other >= 0 && tried < MAX_TRIED; tried++, other = this.#before[run]?.[other] ?? -1)
        if (this.#equal(own, other) >= NEAR_SHARE * own.length) return { near: other };
    }
    if (this.#count === MAX_COMPARED) {
      this.beyond++;
      return { added: undefined };
    }
    this.#add(own, keys);
    return { added: this.#count++ };
  }

  #equal(own: Uint16Array, other: number): number {
    let equal = 0;
    const start = other * own.length;
    for (let i = 0; i < own.length; i++) if (own[i] === this.#codes[start + i]) equal++;
    return equal;
  }

  #add(own: Uint16Array, keys: readonly number[]): void {
    const start = this.#count * own.length;
    if (start + own.length > this.#codes.length) {
      const larger = new Uint16Array(Math.max(1024 * own.length, 2 * this.#codes.length));
      larger.set(this.#codes);
      this.#codes = larger;
    }
    this.#codes.set(own, start);
    for (const [run, key] of keys.entries()) {
      this.#before[run]?.push(this.#newest[run]?.get(key) ?? -1);
      this.#newest[run]?.set(key, this.#count);
    }
  }
}

/** One step of a 32-bit hash (FNV-1a, over codes). */
const mix = (hash: number, code: number): number => Math.imul((hash ^ code) + 0x9e3779b9, 0x01000193) >>> 0;
