// Layer normalization over the last axis (arXiv 1607.06450), as a layer with parameters.

import type { Tensor } from '../engine/tfjs/tf.ts';
import { affineLayerNorm as normalize } from './functional/layer-norm.ts';
import { constant, type ParameterSpec, type Parameters } from './parameters.ts';

const EPSILON = 1e-5;

export type LayerNormSpec = {
  readonly gain: ParameterSpec;
  readonly bias: ParameterSpec;
};
export type LayerNormParameters = Parameters<LayerNormSpec>;

/** Gain 1 and bias 0, one of each per channel. */
export const layerNormSpec = (width: number) =>
  ({ gain: constant([width], 1), bias: constant([width], 0) }) satisfies LayerNormSpec;

/** (x − mean) / √(variance + epsilon) · gain + bias over the last axis; returns the shape of x. */
export const layerNorm = (p: LayerNormParameters, x: Tensor, epsilon = EPSILON): Tensor =>
  normalize(x, p.gain, p.bias, epsilon);
