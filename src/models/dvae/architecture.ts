// What every discrete VAE is, whoever's layers it has: training, codecs and commands know no more of it.
//   B batch, H height, W width, G codes on a side, V vocabulary

import type { DvaeModelConfig } from '../../config/dvae.ts';
import {
  type Scalar,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
  tf,
} from '../../engine/tfjs/tf.ts';
import { kernelMatrix } from '../../nn/convolution.ts';
import type { Parameters, SpecTree } from '../../nn/parameters.ts';
import { codeGrid } from './config.ts';
import * as dallePytorch from './dalle-pytorch.ts';
import { discreteVaeLoss } from './dalle-pytorch-loss.ts';
import { dvaeLoss } from './loss.ts';
import { type DvaeSpec, decodeCodes, dvaeSpec, encode } from './model.ts';
import { mapPixels, reconstruction } from './pixels.ts';

/** How codes are relaxed for a training step, and what their KL weighs. */
export interface Relaxation {
  /** Draws the Gumbel noise: int32[2]. */
  readonly key: Tensor1D;
  /** τ */
  readonly temperature: Scalar;
  /** β */
  readonly klWeight: Scalar;
  /** Least ln b of the logit-Laplace likelihood, where there is one. */
  readonly minLogScale?: number | undefined;
}

export interface DvaeLoss {
  /** What is minimised: reconstruction and weighted KL, as the architecture adds them. */
  readonly loss: Scalar;
  /** The reconstruction term, unweighted, per pixel and channel: −ln p(x|z) in nats, or the error of normalized pixels. */
  readonly reconstruction: Scalar;
  /** KL of a picture's codes to the uniform prior, in nats, summed over the grid. */
  readonly kl: Scalar;
  /** Mean squared error of the pictures decoded from the relaxed codes; pixels in [0, 1]. */
  readonly mse: Scalar;
  /** Of the codes, BGGV. */
  readonly logits: Tensor4D;
}

export interface DvaeArchitecture<S extends SpecTree = SpecTree> {
  /** Codes on a side. */
  readonly grid: number;
  readonly spec: S;
  /** Pixels_BHW3 in [0, 1] → logits of the codes, BGGV. The codes are their argmax. */
  encode(p: Parameters<S>, pixels_BHW3: Tensor4D): Tensor4D;
  /** Hard codes, int32 → pixels BHW3 in [0, 1]. */
  decodeCodes(p: Parameters<S>, codes_BGG: Tensor3D): Tensor4D;
  /** What the decoder makes of each code first, [V, C]: codes that look alike have vectors that are near. */
  codeVectors(p: Parameters<S>): Tensor2D;
  /** The training loss of pixels_BHW3 in [0, 1]. */
  loss(p: Parameters<S>, pixels_BHW3: Tensor4D, relaxation: Relaxation): DvaeLoss;
}

function openai(config: DvaeModelConfig & { readonly architecture: 'openai' }): DvaeArchitecture<DvaeSpec> {
  return {
    grid: codeGrid(config),
    spec: dvaeSpec(config),
    encode: (p, pixels_BHW3) => encode(p.encoder, mapPixels(pixels_BHW3), config),
    decodeCodes: (p, codes_BGG) => reconstruction(decodeCodes(p.decoder, codes_BGG, config)),
    codeVectors: (p) => kernelMatrix(p.decoder.input.weight),
    loss: (p, pixels_BHW3, { key, temperature, klWeight, minLogScale }) =>
      dvaeLoss(p, pixels_BHW3, config, key, temperature, klWeight, minLogScale),
  };
}

function discreteVae(
  config: DvaeModelConfig & { readonly architecture: 'dalle-pytorch' },
): DvaeArchitecture<dallePytorch.DiscreteVaeSpec> {
  return {
    grid: codeGrid(config),
    spec: dallePytorch.discreteVaeSpec(config),
    encode: (p, pixels_BHW3) => dallePytorch.encode(p.encoder, dallePytorch.normalize(pixels_BHW3, config)),
    decodeCodes: (p, codes_BGG) => dallePytorch.denormalize(dallePytorch.decodeCodes(p, codes_BGG), config),
    codeVectors: (p) => p.codebook as Tensor2D,
    loss: (p, pixels_BHW3, relaxation) => discreteVaeLoss(p, pixels_BHW3, config, relaxation),
  };
}

/** The architecture that a configuration chooses. Its parameters are read from a tree of its own `spec`. */
export function dvaeArchitecture(config: DvaeModelConfig): DvaeArchitecture {
  switch (config.architecture) {
    case 'openai':
      return openai(config) as DvaeArchitecture;
    case 'dalle-pytorch':
      return discreteVae(config) as DvaeArchitecture;
    default:
      return config satisfies never;
  }
}

/** Pictures through their hard codes, as stage two sees them; pixels in [0, 1]. */
export function hardReconstruction<S extends SpecTree>(
  architecture: DvaeArchitecture<S>,
  p: Parameters<S>,
  pixels_BHW3: Tensor4D,
): { readonly codes_BGG: Tensor3D; readonly pixels_BHW3: Tensor4D; readonly mse: Scalar } {
  const codes_BGG = tf.argMax(architecture.encode(p, pixels_BHW3), -1) as Tensor3D;
  const decoded = architecture.decodeCodes(p, codes_BGG);
  return { codes_BGG, pixels_BHW3: decoded, mse: tf.mean(tf.square(tf.sub(decoded, pixels_BHW3))) };
}
