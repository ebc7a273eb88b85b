// Dead-code revival on the host: a code that is never used splits a used one. The encoder's last and the decoder's
// first convolution, both 1×1, are changed. When the features h of a code j have the mean μ_j and one of them, h*, is
// picked for the dead code k, k gets the logits
//   l_k(h) = l_j(h) + a (h* − μ_j)·(h − (h* + μ_j)/2),
// so that features on h*'s side of the middle between h* and μ_j go to k and the others stay with j: the border between
// two k-means centres, as in warm-start.ts. The decoder decodes k as it decodes j, so that features that k takes from j
// are decoded as before; k also takes features of other codes that are far out on its side.
//   M features, C channels in, O channels out of the decoder's first convolution, V vocabulary

import type { RandomStream } from '../../util/random.ts';

/** Nats by which the revived code's logit exceeds the split code's at h*, and is below it at μ_j. */
const MARGIN = 2;

export interface CodebookArrays {
  /** [C, V] and [V]: the encoder's last convolution. */
  readonly encoderWeight: Float32Array;
  readonly encoderBias: Float32Array;
  /** [V, O]: the decoder's first convolution. */
  readonly decoderWeight: Float32Array;
}

export interface Features {
  /** [M, C] */
  readonly features: Float32Array;
  /** The code of each feature, [M]. */
  readonly codes: Int32Array;
}

/**
 * Writes new columns and rows of the `dead` codes into `book`. Features are picked at random, so that frequent codes
 * are split more often.
 * @returns the revived codes; fewer than `dead` when there are too few different features
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
    // A feature equal to the mean of its code cannot split the code.
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
