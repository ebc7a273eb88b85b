// Images encoded to hard codes and decoded again by a dVAE, with metrics of the reconstruction.

import { chunks, decodeBatches } from '../../data/decode-batches.ts';
import type { ImageFile } from '../../data/image.ts';
import type { Faults } from '../../data/sources/faults.ts';
import { DataError } from '../../util/errors.ts';
import type { DvaeCodec } from '../dvae/codec.ts';
import { codebookMetrics, codebookUse } from '../measures/codebook.ts';
import { psnr, softHardGap, ssim } from '../measures/reconstruction.ts';

export interface ImageMeasures {
  readonly file: string;
  /** dB; Infinity for equal images. */
  readonly psnr: number;
  readonly ssim: number;
}

export interface ReconstructionTotals {
  /** Images measured, and images that could not be read. */
  readonly images: number;
  readonly skipped: number;
  /** Means over the images. */
  readonly psnr: number;
  readonly ssim: number;
  /** Mean squared error of pixels in [0, 1] from hard codes. */
  readonly mse: number;
  /** From relaxed codes, and the gap in dB, for a dVAE that has them. */
  readonly softMse?: number;
  readonly softHardGap?: number;
  /** Distinct codes used, their share of the codebook, unused codes, and the perplexity of the codes. */
  readonly codesUsed: number;
  readonly codebookUse: number;
  readonly deadCodes: number;
  readonly perplexity: number;
}

export interface Reconstructions {
  readonly measures: readonly ImageMeasures[];
  readonly totals: ReconstructionTotals;
  /** The first images, RGB: count × imageSize × imageSize × 3. */
  readonly originals: Uint8Array;
  readonly reconstructions: Uint8Array;
}

export interface ReconstructOptions {
  /** Number of originals and reconstructions to return. */
  readonly show: number;
  /** τ of the relaxed codes. */
  readonly temperature: number;
  readonly faults: Faults;
  /** Called with the number of images done so far. */
  readonly onProgress: (done: number) => void;
  readonly signal: AbortSignal;
}

/** Images encoded in one run. */
const IMAGES_PER_BATCH = 32;

/**
 * Reconstructs the images that can be read.
 * @throws DataError when too many are at fault, or all; the reason of `signal` when it is aborted
 */
export async function reconstructImages(
  codec: DvaeCodec,
  images: readonly ImageFile[],
  { show, temperature, faults, onProgress, signal }: ReconstructOptions,
): Promise<Reconstructions> {
  const { imageSize: size, vocabulary } = codec.config;
  const length = size ** 2 * 3;
  const shown: { original: Uint8Array; reconstruction: Uint8Array }[] = [];
  const measures: ImageMeasures[] = [];
  let done = 0;
  const allCodes: Int32Array[] = [];
  let [hardError, softError] = [0, 0];
  for await (const batch of decodeBatches(
    chunks(images, IMAGES_PER_BATCH),
    { size, grid: codec.grid },
    faults,
  )) {
    signal.throwIfAborted();
    const codes = await codec.encode(batch.pixels);
    const decoded = await codec.decode(codes);
    allCodes.push(codes);
    if (batch.images.length > 0) {
      hardError += meanSquaredError(batch.pixels, decoded) * batch.images.length;
      if (codec.hasRelaxedCodes)
        softError += (await codec.relaxedError(batch.pixels, temperature, done)) * batch.images.length;
    }
    for (const [i, { path: file }] of batch.images.entries()) {
      const original = batch.pixels.subarray(i * length, (i + 1) * length);
      const reconstruction = decoded.subarray(i * length, (i + 1) * length);
      measures.push({
        file,
        psnr: psnr(original, reconstruction),
        ssim: ssim(original, reconstruction, size),
      });
      if (shown.length < show) shown.push({ original, reconstruction });
    }
    done += batch.all.length;
    onProgress(done);
  }
  if (measures.length === 0) {
    throw new DataError('none of the images can be read', {
      code: 'E_NO_USABLE_IMAGE',
      where: images[0]?.path ?? '',
      fix: 'name images that other programs can open',
    });
  }
  const mean = (key: 'psnr' | 'ssim'): number =>
    measures.reduce((sum, values) => sum + values[key], 0) / measures.length;
  const [mse, softMse] = [hardError / measures.length, softError / measures.length];
  return {
    measures,
    totals: {
      images: measures.length,
      skipped: images.length - measures.length,
      psnr: mean('psnr'),
      ssim: mean('ssim'),
      mse,
      ...(codec.hasRelaxedCodes && { softMse, softHardGap: softHardGap(softMse, mse) }),
      ...codebookMetrics(codebookUse(allCodes, vocabulary), vocabulary),
    },
    originals: Buffer.concat(shown.map(({ original }) => original)),
    reconstructions: Buffer.concat(shown.map(({ reconstruction }) => reconstruction)),
  };
}

/** Mean squared error of pixels in [0, 1]. */
function meanSquaredError(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i]! - b[i]!) / 255) ** 2;
  return sum / a.length;
}
