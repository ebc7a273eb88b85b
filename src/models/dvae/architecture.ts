// One interface to every dVAE architecture: training, codecs and commands use nothing else.
//   B batch, H height, W width, G codes on a side, V vocabulary

import type { DvaeModelConfig } from '../../config/dvae.ts';
import { type Scalar, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { kernelMatrix } from '../../nn/convolution.ts';
import type { Parameters, SpecTree } from '../../nn/parameters.ts';
import { codeGrid } from './config.ts';
import * as dallePytorch from './dalle-pytorch.ts';
import { discreteVaeLoss } from './dalle-pytorch-loss.ts';
import { dvaeLoss } from './loss.ts';
import { type DvaeSpec, decodeCodes, dvaeSpec, encode } from './model.ts';
import { mapPixels, reconstruction } from './pixels.ts';
import type { DvaeLoss, Relaxation } from './types.ts';

export interface DvaeArchitecture<S extends SpecTree = SpecTree> {
  /** Codes on a side of an image. */
  readonly grid: number;
  readonly spec: S;
  /** Pixels in [0, 1] → logits of the codes, BGGV. The codes are their argmax. */
  encode(p: Parameters<S>, pixels_BHW3: Tensor4D): Tensor4D;
  /** Hard codes, int32 → pixels BHW3 in [0, 1]. */
  decodeCodes(p: Parameters<S>, codes_BGG: Tensor3D): Tensor4D;
  /** The decoder's first features of each code, [V, C]: codes that look alike have close vectors. */
  codeVectors(p: Parameters<S>): Tensor2D;
  /** The training loss of pixels in [0, 1]. */
  loss(p: Parameters<S>, pixels_BHW3: Tensor4D, relaxation: Relaxation): DvaeLoss;
}

function openai(config: DvaeModelConfig & { readonly architecture: 'openai' }): DvaeArchitecture<DvaeSpec> {
  return {
    grid: codeGrid(config),
    spec: dvaeSpec(config),
    encode: (p, pixels_BHW3) => encode(p.encoder, mapPixels(pixels_BHW3), config),
    decodeCodes: (p, codes_BGG) => reconstruction(decodeCodes(p.decoder, codes_BGG, config)),
    codeVectors: (p) => kernelMatrix(p.decoder.input.weight),
    loss: (p, pixels_BHW3, relaxation) => dvaeLoss(p, pixels_BHW3, config, relaxation),
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

/** The architecture of a configuration. Its parameters are a tree of its `spec`. */
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

/** Images encoded to hard codes and decoded, as DALL·E sees them; pixels in [0, 1]. */
export function hardReconstruction<S extends SpecTree>(
  architecture: DvaeArchitecture<S>,
  p: Parameters<S>,
  pixels_BHW3: Tensor4D,
): { readonly codes_BGG: Tensor3D; readonly pixels_BHW3: Tensor4D; readonly mse: Scalar } {
  const codes_BGG = tf.argMax(architecture.encode(p, pixels_BHW3), -1) as Tensor3D;
  const decoded = architecture.decodeCodes(p, codes_BGG);
  return { codes_BGG, pixels_BHW3: decoded, mse: tf.mean(tf.square(tf.sub(decoded, pixels_BHW3))) };
}
