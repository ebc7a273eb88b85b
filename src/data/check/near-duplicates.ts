// Groups of images that look nearly the same.

import { hashDistance, type PerceptualHash } from './perceptual-hash.ts';

/** Different bits, of 64, up to which two images count as near duplicates. */
export const MAX_DISTANCE = 4;
/** Parts of a hash: of `MAX_DISTANCE` different bits, at least one part has none. */
const BANDS = MAX_DISTANCE + 1;
const BAND_BITS = Math.ceil(64 / BANDS);

export interface Hashed {
  readonly file: string;
  readonly hash: PerceptualHash;
}

/** Hashes among which a near one is found without comparing with all. */
export interface Looks {
  /** Number of the first hash within `MAX_DISTANCE`; undefined when there is none. */
  find(hash: PerceptualHash): number | undefined;
  /** Adds a hash, and returns its number. */
  add(hash: PerceptualHash): number;
}

export function looks(): Looks {
  const all: PerceptualHash[] = [];
  /** Numbers by each band of the hash. */
  const byBand = Array.from({ length: BANDS }, () => new Map<number, number[]>());
  return {
    find(hash) {
      let found: number | undefined;
      for (const [band, buckets] of byBand.entries())
        for (const number of buckets.get(bandOf(hash, band)) ?? [])
          if (
            number < (found ?? all.length) &&
            hashDistance(hash, all[number] as PerceptualHash) <= MAX_DISTANCE
          )
            found = number;
      return found;
    },
    add(hash) {
      for (const [band, buckets] of byBand.entries()) {
        const key = bandOf(hash, band);
        const bucket = buckets.get(key);
        if (bucket) bucket.push(all.length);
        else buckets.set(key, [all.length]);
      }
      return all.push(hash) - 1;
    },
  };
}

/**
 * Groups of at least two. Each image joins the first group whose first image is within `MAX_DISTANCE` of it: a chain of
 * small differences makes no group of different images.
 */
export function nearDuplicates(images: readonly Hashed[]): string[][] {
  const firsts = looks();
  const groups: string[][] = [];
  for (const { file, hash } of images) {
    const group = firsts.find(hash) ?? firsts.add(hash);
    groups[group] = [...(groups[group] ?? []), file];
  }
  return groups.filter(({ length }) => length > 1);
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
