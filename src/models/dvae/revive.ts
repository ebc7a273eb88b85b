// New places for dead codes, on the host: a code that is never chosen splits one that is. Next to the codes stand two
// 1×1 convolutions, the encoder's last and the decoder's first. Where features h of a code j have the mean μ_j and a
// feature h* among them is picked for the dead code k, k gets logits
//   l_k(h) = l_j(h) + a (h* − μ_j)·(h − (h* + μ_j)/2),
// so that h* and what lies on its side of the middle goes to k, and the rest stays with j: the border between two
// k-means centres, as in warm-start.ts. The decoder reads k as it read j, so that what k takes from j is decoded as
// before; k also takes features of other codes that lie far out on its side.
//   N features, C channels, V vocabulary, D channels after the decoder's first convolution

import type { RandomStream } from '../../util/random.ts';

/** By how many nats the revived code wins at its feature, and loses at the mean. */
const MARGIN = 2;

export interface CodebookArrays {
  /** [C, V] and [V]: the encoder's last convolution. */
  readonly encoderWeight: Float32Array;
  readonly encoderBias: Float32Array;
  /** [V, D]: the decoder's first convolution. */
  readonly decoderWeight: Float32Array;
}

export interface Features {
  /** [N, C] */
  readonly features: Float32Array;
  /** The code that each feature has, [N]. */
  readonly codes: Int32Array;
}

/**
 * Writes new columns and rows of the `dead` codes into `book`. Features are picked at random, so that codes are split
 * the more often the more often they are used.
 * @returns the codes that got a place; fewer where there are too few different features
 */
export function reviveCodes(
  book: CodebookArrays,
  { features, codes }: Features,
  dead: readonly number[],
  random: RandomStream,
): number[] {
  const vocabulary = book.encoderBias.length;
  const channels = book.encoderWeight.length / vocabulary;
  const means = meansByCode(features, codes, channels);
  const order = random.shuffle(Int32Array.from(codes.keys()));
  const left = [...dead];
  const revived: number[] = [];
  for (const n of order) {
    const code = left[0];
    if (code === undefined) break;
    const from = codes[n] as number;
    const mean = means.get(from) as Float64Array;
    const direction = Float64Array.from(mean, (m, c) => features[n * channels + c]! - m);
    const distance = direction.reduce((sum, d) => sum + d * d, 0);
    // The only feature of its code, or one like all others of it, has nothing to split off.
    if (!(distance > 1e-12)) continue;
    const slope = (2 * MARGIN) / distance;
    let middle = 0;
    for (let c = 0; c < channels; c++) {
      const d = direction[c] as number;
      middle += d * ((mean[c] as number) + d / 2);
      book.encoderWeight[c * vocabulary + code] = book.encoderWeight[c * vocabulary + from]! + slope * d;
    }
    book.encoderBias[code] = book.encoderBias[from]! - slope * middle;
    const width = book.decoderWeight.length / vocabulary;
    book.decoderWeight.copyWithin(code * width, from * width, (from + 1) * width);
    revived.push(code);
    left.shift();
  }
  return revived;
}

function meansByCode(features: Float32Array, codes: Int32Array, channels: number): Map<number, Float64Array> {
  const sums = new Map<number, Float64Array>();
  const counts = new Map<number, number>();
  codes.forEach((code, n) => {
    const sum = sums.get(code) ?? new Float64Array(channels);
    for (let c = 0; c < channels; c++) sum[c]! += features[n * channels + c]!;
    sums.set(code, sum);
    counts.set(code, (counts.get(code) ?? 0) + 1);
  });
  return new Map([...sums].map(([code, sum]) => [code, sum.map((value) => value / counts.get(code)!)]));
}
