// One interface to every dVAE architecture: codecs, training and commands use nothing else.
//   B batch, H height, W width, G codes on a side, V vocabulary

import type {
  DallePytorchDvaeConfig,
  DvaeModelConfig,
  OpenaiDvaeConfig,
  TrainedDvaeConfig,
} from '../../config/dvae.ts';
import type { VqganConfig } from '../../config/vqgan.ts';
import { type Scalar, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { kernelMatrix } from '../../nn/convolution.ts';
import type { Parameters, SpecTree } from '../../nn/parameters.ts';
import * as vqgan from '../vqgan/model.ts';
import { codeGrid } from './config.ts';
import * as dallePytorch from './dalle-pytorch.ts';
import { discreteVaeLoss } from './dalle-pytorch-loss.ts';
import { dvaeLoss } from './loss.ts';
import { type DvaeSpec, decodeCodes, dvaeSpec, encode } from './model.ts';
import { mapPixels, reconstruction } from './pixels.ts';
import type { DvaeLoss, Relaxation } from './types.ts';

/** A model that makes codes of images and images of codes. */
export interface ImageTokenizer<S extends SpecTree = SpecTree> {
  /** Codes on a side of an image. */
  readonly grid: number;
  readonly spec: S;
  /** Pixels in [0, 1] → logits of the codes, BGGV. The codes are their argmax. */
  encode(p: Parameters<S>, pixels_BHW3: Tensor4D): Tensor4D;
  /** Hard codes, int32 → pixels BHW3 in [0, 1]. */
  decodeCodes(p: Parameters<S>, codes_BGG: Tensor3D): Tensor4D;
  /** The decoder's first features of each code, [V, C]: codes that look alike have close vectors. */
  codeVectors(p: Parameters<S>): Tensor2D;
}

/** One that mm trains. */
export interface DvaeArchitecture<S extends SpecTree = SpecTree> extends ImageTokenizer<S> {
  /** The training loss of pixels in [0, 1]. */
  loss(p: Parameters<S>, pixels_BHW3: Tensor4D, relaxation: Relaxation): DvaeLoss;
}

function openai(config: OpenaiDvaeConfig): DvaeArchitecture<DvaeSpec> {
  return {
    grid: codeGrid(config),
    spec: dvaeSpec(config),
    encode: (p, pixels_BHW3) => encode(p.encoder, mapPixels(pixels_BHW3), config),
    decodeCodes: (p, codes_BGG) => reconstruction(decodeCodes(p.decoder, codes_BGG, config)),
    codeVectors: (p) => kernelMatrix(p.decoder.input.weight),
    loss: (p, pixels_BHW3, relaxation) => dvaeLoss(p, pixels_BHW3, config, relaxation),
  };
}

function discreteVae(config: DallePytorchDvaeConfig): DvaeArchitecture<dallePytorch.DiscreteVaeSpec> {
  return {
    grid: codeGrid(config),
    spec: dallePytorch.discreteVaeSpec(config),
    encode: (p, pixels_BHW3) => dallePytorch.encode(p.encoder, dallePytorch.normalize(pixels_BHW3, config)),
    decodeCodes: (p, codes_BGG) => dallePytorch.denormalize(dallePytorch.decodeCodes(p, codes_BGG), config),
    codeVectors: (p) => p.codebook as Tensor2D,
    loss: (p, pixels_BHW3, relaxation) => discreteVaeLoss(p, pixels_BHW3, config, relaxation),
  };
}

function vqganTokenizer(config: VqganConfig): ImageTokenizer<vqgan.VqganSpec> {
  return {
    grid: codeGrid(config),
    spec: vqgan.vqganSpec(config),
    encode: (p, pixels_BHW3) => vqgan.encode(p, vqgan.toOwn(pixels_BHW3, config), config),
    decodeCodes: (p, codes_BGG) => vqgan.fromOwn(vqgan.decodeCodes(p, codes_BGG, config), config),
    codeVectors: (p) => p.codebook as Tensor2D,
  };
}

/** The architecture of a configuration. Its parameters are a tree of its `spec`. */
export function dvaeArchitecture(config: TrainedDvaeConfig): DvaeArchitecture {
  switch (config.architecture) {
    case 'openai':
      return openai(config) as DvaeArchitecture;
    case 'dalle-pytorch':
      return discreteVae(config) as DvaeArchitecture;
    default:
      return config satisfies never;
  }
}

/** The same for any checkpoint's configuration, without the loss. */
export const imageTokenizer = (config: DvaeModelConfig): ImageTokenizer =>
  config.architecture === 'vqgan' ? (vqganTokenizer(config) as ImageTokenizer) : dvaeArchitecture(config);

/** Images encoded to hard codes and decoded, as DALL·E sees them; pixels in [0, 1]. */
export function hardReconstruction<S extends SpecTree>(
  architecture: ImageTokenizer<S>,
  p: Parameters<S>,
  pixels_BHW3: Tensor4D,
): { readonly codes_BGG: Tensor3D; readonly pixels_BHW3: Tensor4D; readonly mse: Scalar } {
  const codes_BGG = tf.argMax(architecture.encode(p, pixels_BHW3), -1) as Tensor3D;
  const decoded = architecture.decodeCodes(p, codes_BGG);
  return { codes_BGG, pixels_BHW3: decoded, mse: tf.mean(tf.square(tf.sub(decoded, pixels_BHW3))) };
}
