// Similarity of features, which are rows of a flat array and have length 1.

/** Cosine similarity of row i of `a` and row j of `b`: their inner product. */
export function cosineSimilarity(
  a: Float32Array,
  i: number,
  b: Float32Array,
  j: number,
  width: number,
): number {
  let sum = 0;
  for (let k = 0; k < width; k++) sum += (a[i * width + k] as number) * (b[j * width + k] as number);
  return sum;
}

/** Softmax of the values times `scale`. */
export function softmax(values: ArrayLike<number>, scale: number): Float64Array {
  const scaled = Float64Array.from(values, (value) => value * scale);
  const highest = scaled.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const powers = scaled.map((value) => Math.exp(value - highest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** Indices that sort the values in descending order; equal values keep their order. */
export const descendingOrder = (values: ArrayLike<number>): number[] =>
  Array.from(values, (_, i) => i).sort((i, j) => (values[j] as number) - (values[i] as number));
