// A discrete VAE on held-out images: reconstruction errors from hard and from relaxed codes, the terms of the loss
// without their weights, and the use of the codebook.

import { floatScalar, type HostTensor } from '../engine/native/tensor.ts';
import type { Runtime } from '../engine/session/runtime.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor4D, tf } from '../engine/tfjs/tf.ts';
import { codebookMetrics, codebookUse, describeCollapse } from '../inference/measures/codebook.ts';
import { psnrOf, softHardGap, ssim } from '../inference/measures/reconstruction.ts';
import { type DvaeArchitecture, hardReconstruction } from '../models/dvae/architecture.ts';
import type { Weights } from '../nn/weights.ts';
import { reconstructionGrid } from '../report/images/reconstructions.ts';
import { graphSeed } from '../util/random.ts';
import type { Evaluator, Metrics } from './evaluator.ts';

/** Held-out images in batches of equal size. */
export interface HeldOutImages {
  /** RGB, batch × imageSize × imageSize × 3 each */
  readonly batches: readonly Uint8Array[];
  readonly batch: number;
}

export interface DvaeValidationOptions {
  readonly imageSize: number;
  readonly vocabulary: number;
  /** Seed of the noise of relaxed codes, which is the same at each validation. */
  readonly seed: number;
  /** Lower bound of ln b in the likelihood; undefined for none. */
  readonly minLogScale: number | undefined;
  /** The codebook is collapsing when its perplexity is below this share of an even use's. */
  readonly warnBelow: number;
}

export class DvaeValidation implements Evaluator<[temperature: number]> {
  readonly #images: HeldOutImages;
  readonly #options: DvaeValidationOptions;
  readonly #hard;
  readonly #relaxed;
  #collapse: string | undefined;

  constructor(
    runtime: Runtime,
    architecture: DvaeArchitecture,
    weights: Weights,
    images: HeldOutImages,
    options: DvaeValidationOptions,
  ) {
    this.#images = images;
    this.#options = options;
    this.#hard = runtime.compile('dVAE reconstruction', ({ pixels }: { pixels: Tensor }) => {
      const x = tf.div(pixels, 255) as Tensor4D;
      const { codes_BGG, pixels_BHW3, mse } = hardReconstruction(architecture, weights.read(), x);
      return { codes: codes_BGG, mse, pixels: tf.mul(pixels_BHW3, 255) };
    });
    type Relaxed = Record<'pixels' | 'key' | 'temperature', Tensor>;
    this.#relaxed = runtime.compile('dVAE validation', ({ pixels, key, temperature }: Relaxed) => {
      const { reconstruction, kl, mse } = architecture.loss(weights.read(), tf.div(pixels, 255) as Tensor4D, {
        key: key as Tensor1D,
        temperature: temperature as Scalar,
        klWeight: tf.scalar(0),
        minLogScale: options.minLogScale,
      });
      return { reconstruction, kl, softMse: mse };
    });
  }

  /** A sentence about a collapsing codebook, found in the last run; undefined when it was in order. */
  get collapse(): string | undefined {
    return this.#collapse;
  }

  /** @param temperature τ of the relaxed codes */
  async run(temperature: number): Promise<Metrics> {
    const { batches } = this.#images;
    const { seed, vocabulary, warnBelow } = this.#options;
    const codes: Int32Array[] = [];
    const mean = { mse: 0, softMse: 0, reconstruction: 0, kl: 0 };
    let similarity = 0;
    for (const [i, batch] of batches.entries()) {
      const pixels = this.#tensor(batch);
      const hard = await this.#hard({ pixels });
      const relaxed = await this.#relaxed({
        pixels,
        key: { dtype: 'int32', shape: [2], data: graphSeed(seed, 'validation', i) },
        temperature: floatScalar(temperature),
      });
      codes.push(hard.codes.data as Int32Array);
      for (const [name, { data }] of Object.entries({ mse: hard.mse, ...relaxed }))
        mean[name as keyof typeof mean] += Number(data[0]) / batches.length;
      // SSIM is computed in JavaScript, slowly: for the first batch only.
      if (i === 0) similarity = this.#meanSsim(batch, hard.pixels);
    }
    const use = codebookUse(codes, vocabulary);
    const { mse, softMse, reconstruction, kl } = mean;
    this.#collapse = describeCollapse(use, vocabulary, warnBelow);
    return {
      mse,
      psnr: psnrOf(mse),
      ssim: similarity,
      softMse,
      softHardGap: softHardGap(softMse, mse),
      reconstruction,
      kl,
      ...codebookMetrics(use, vocabulary),
    };
  }

  /** The first images beside their reconstructions, as PNG. */
  async image(): Promise<Uint8Array> {
    const originals = this.#images.batches[0] as Uint8Array;
    const { pixels } = await this.#hard({ pixels: this.#tensor(originals) });
    return reconstructionGrid(originals, rounded(pixels), this.#options.imageSize);
  }

  #tensor(data: Uint8Array): HostTensor {
    const { imageSize } = this.#options;
    return { dtype: 'uint8', shape: [this.#images.batch, imageSize, imageSize, 3], data };
  }

  #meanSsim(originals: Uint8Array, pixels: HostTensor): number {
    const { imageSize } = this.#options;
    const length = imageSize ** 2 * 3;
    const made = rounded(pixels);
    let sum = 0;
    for (let at = 0; at < made.length; at += length)
      sum += ssim(originals.subarray(at, at + length), made.subarray(at, at + length), imageSize);
    return (sum * length) / made.length;
  }
}

const rounded = ({ data }: HostTensor): Uint8Array => Uint8Array.from(data as Float32Array, Math.round);
