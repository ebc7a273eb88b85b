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

/**
 * Groups of at least two. Each image joins the first group whose first image is within `MAX_DISTANCE` of it: a chain of
 * small differences makes no group of different images.
 */
export function nearDuplicates(images: readonly Hashed[]): string[][] {
  /** Groups by each band of their first image's hash. */
  const byBand = Array.from({ length: BANDS }, () => new Map<number, number[]>());
  const groups: { readonly first: PerceptualHash; readonly files: string[] }[] = [];
  for (const { file, hash } of images) {
    let found = Number.POSITIVE_INFINITY;
    for (const [band, buckets] of byBand.entries())
      for (const index of buckets.get(bandOf(hash, band)) ?? [])
        if (
          index < found &&
          hashDistance(hash, (groups[index] as (typeof groups)[number]).first) <= MAX_DISTANCE
        )
          found = index;
    if (found !== Number.POSITIVE_INFINITY) {
      groups[found]?.files.push(file);
      continue;
    }
    for (const [band, buckets] of byBand.entries()) {
      const key = bandOf(hash, band);
      const bucket = buckets.get(key);
      if (bucket) bucket.push(groups.length);
      else buckets.set(key, [groups.length]);
    }
    groups.push({ first: hash, files: [file] });
  }
  return groups.map(({ files }) => files).filter(({ length }) => length > 1);
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
