// Quality of a reconstruction: PSNR and SSIM of 8-bit RGB images.

/** Radius of the 11 × 11 window; for smaller images, of the largest window that fits. */
const RADIUS = 5;
const SIGMA = 1.5;
const CHANNELS = 3;
/** Constants for a data range of 1 (K₁ 0.01, K₂ 0.03). */
const C1 = 0.01 ** 2;
const C2 = 0.03 ** 2;

/** Peak signal-to-noise ratio in dB over all pixels and channels; Infinity for equal images. */
export function psnr(a: Uint8Array, b: Uint8Array): number {
  const sum = a.reduce((total, value, i) => total + (value - b[i]!) ** 2, 0);
  return 10 * Math.log10((255 ** 2 * a.length) / sum);
}

/** PSNR in dB of a mean squared error of pixels in [0, 1]. */
export const psnrOf = (mse: number): number => -10 * Math.log10(mse);

/**
 * The loss in dB from decoding hard codes, as the joint Transformer samples them, instead of the relaxed codes of
 * training: PSNR from relaxed codes minus PSNR from hard codes, both from mean squared errors. Large while the
 * temperature is high, and where the decoder gets more from a mixture of codes than from any single one.
 */
export const softHardGap = (softMse: number, mse: number): number => psnrOf(softMse) - psnrOf(mse);

/**
 * Structural similarity (Wang et al. 2004) of two size × size × 3 images: means, variances and covariance under a
 * Gaussian window of 11 × 11, σ 1.5, at each position where it fits; the mean over positions, then over channels.
 */
export function ssim(a: Uint8Array, b: Uint8Array, size: number): number {
  let sum = 0;
  for (let channel = 0; channel < CHANNELS; channel++)
    sum += planeSsim(plane(a, channel), plane(b, channel), size);
  return sum / CHANNELS;
}

const plane = (pixels: Uint8Array, channel: number): Float64Array =>
  Float64Array.from({ length: pixels.length / CHANNELS }, (_, i) => pixels[i * CHANNELS + channel]! / 255);

function planeSsim(x: Float64Array, y: Float64Array, size: number): number {
  const window = gaussian(Math.min(RADIUS, Math.floor((size - 1) / 2)));
  const mean = (values: Float64Array): Float64Array => blur(values, size, window);
  const [meanX, meanY] = [mean(x), mean(y)];
  const [meanXX, meanYY, meanXY] = [mean(product(x, x)), mean(product(y, y)), mean(product(x, y))];
  let sum = 0;
  for (let i = 0; i < meanX.length; i++) {
    const [mx, my] = [meanX[i]!, meanY[i]!];
    const variances = meanXX[i]! - mx ** 2 + (meanYY[i]! - my ** 2);
    const covariance = meanXY[i]! - mx * my;
    sum += ((2 * mx * my + C1) * (2 * covariance + C2)) / ((mx ** 2 + my ** 2 + C1) * (variances + C2));
  }
  return sum / meanX.length;
}

const product = (x: Float64Array, y: Float64Array): Float64Array => x.map((value, i) => value * y[i]!);

/** Gaussian weights at −radius … radius; they sum to 1. */
function gaussian(radius: number): Float64Array {
  const weights = Float64Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * SIGMA ** 2)),
  );
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Weighted means under the window at each position where it fits into a square plane. */
function blur(values: Float64Array, size: number, window: Float64Array): Float64Array {
  return slide(slide(values, size, window), size, window);
}

/** Weighted means along rows where the window fits, transposed: (rows × size) → (size − window + 1) × rows. */
function slide(values: Float64Array, size: number, window: Float64Array): Float64Array {
  const rows = values.length / size;
  const places = size - window.length + 1;
  const result = new Float64Array(places * rows);
  for (let row = 0; row < rows; row++) {
    for (let place = 0; place < places; place++) {
      let sum = 0;
      for (let k = 0; k < window.length; k++) sum += window[k]! * values[row * size + place + k]!;
      result[place * rows + row] = sum;
    }
  }
  return result;
}
