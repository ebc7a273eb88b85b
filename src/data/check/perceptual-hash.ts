// A hash of what an image looks like: images that differ in size, compression or a little in colour have hashes of few
// different bits (pHash: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010).

/** Pixels on a side of what is hashed, and frequencies on a side of the hash. */
export const HASHED_SIZE = 32;
const FREQUENCIES = 8;
/** Images of less contrast, in levels between the darkest and the lightest pixel, are plain: their hash is noise. */
const MIN_CONTRAST = 8;

/** 64 bits: the high and the low 32, unsigned. */
export interface PerceptualHash {
  readonly high: number;
  readonly low: number;
}

/** Row u: the cosine of frequency u at each pixel. */
const COSINES = Float64Array.from({ length: FREQUENCIES * HASHED_SIZE }, (_, i) => {
  const [u, x] = [Math.floor(i / HASHED_SIZE), i % HASHED_SIZE];
  return Math.cos((Math.PI * u * (2 * x + 1)) / (2 * HASHED_SIZE));
});

/**
 * Bits of the lowest 8 × 8 frequencies of the image's luma (DCT-II), row by row: whether each is above their median.
 * @param pixels RGB, 32 × 32 × 3
 * @returns undefined for a plain image
 */
export function perceptualHash(pixels: Uint8Array): PerceptualHash | undefined {
  const luma = Float64Array.from(
    { length: HASHED_SIZE ** 2 },
    (_, i) =>
      0.299 * (pixels[3 * i] as number) +
      0.587 * (pixels[3 * i + 1] as number) +
      0.114 * (pixels[3 * i + 2] as number),
  );
  const [min, max] = luma.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [255, 0] as const as [
    number,
    number,
  ]);
  if (max - min < MIN_CONTRAST) return undefined;
  const coefficients = transform(transform(luma, HASHED_SIZE), FREQUENCIES);
  const sorted = coefficients.toSorted();
  const median = ((sorted[31] as number) + (sorted[32] as number)) / 2;
  const word = (from: number): number => {
    let bits = 0;
    for (let i = from; i < from + 32; i++) bits = (bits << 1) | Number((coefficients[i] as number) > median);
    return bits >>> 0;
  };
  return { high: word(0), low: word(32) };
}

/** The lowest frequencies of each row of 32 values, transposed: frequencies × rows. */
function transform(values: Float64Array, rows: number): Float64Array {
  const result = new Float64Array(FREQUENCIES * rows);
  for (let u = 0; u < FREQUENCIES; u++)
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let x = 0; x < HASHED_SIZE; x++)
        sum += (values[row * HASHED_SIZE + x] as number) * (COSINES[u * HASHED_SIZE + x] as number);
      result[u * rows + row] = sum;
    }
  return result;
}

/** The number of bits in which two hashes differ. */
export const hashDistance = (a: PerceptualHash, b: PerceptualHash): number =>
  ones(a.high ^ b.high) + ones(a.low ^ b.low);

function ones(bits: number): number {
  let count = bits - ((bits >>> 1) & 0x55555555);
  count = (count & 0x33333333) + ((count >>> 2) & 0x33333333);
  return (((count + (count >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}
