// Two-dimensional convolution with zero padding: the output has the size of the input divided by the stride.
//   B batch, H height, W width, C channels in, O channels out, k side of the kernel, M = B · H · W pixels

import { addBias, affine } from '../engine/ops/linear-algebra.ts';
import { type Tensor, type Tensor2D, type Tensor4D, tf } from '../engine/tfjs/tf.ts';
import { frozenVariable, multipliesOnCpu } from '../engine/tfjs/trace.ts';
import { constant, normal, type ParameterSpec, type Parameters } from './parameters.ts';

export type ConvolutionSpec = {
  readonly weight: ParameterSpec;
  readonly bias: ParameterSpec;
};
export type ConvolutionParameters = Parameters<ConvolutionSpec>;

/** Kernel [k, k, C, O], normal with stddev 1/√(C · k²); bias 0. @param size k, odd */
export const convolutionSpec = (inputs: number, outputs: number, size: number) =>
  ({
    weight: normal([size, size, inputs, outputs], 1 / Math.sqrt(inputs * size ** 2)),
    bias: constant([outputs], 0),
  }) satisfies ConvolutionSpec;

/** A 1×1 kernel as the matrix [C, O]. */
export function kernelMatrix(weight: Tensor): Tensor2D {
  const [, , inputs, outputs] = weight.shape as [number, number, number, number];
  return tf.reshape(weight, [inputs, outputs]);
}

/**
 * x_BHWC → [B, H / stride, W / stride, O]. A 1×1 kernel (of stride 1) is a matrix product, forwards and backwards.
 */
export function convolution(p: ConvolutionParameters, x_BHWC: Tensor4D, stride = 1): Tensor4D {
  const [size, , inputs, outputs] = p.weight.shape as [number, number, number, number];
  if (size > 1) return addBias(tf.conv2d(x_BHWC, p.weight as Tensor4D, stride, 'same'), p.bias);
  const [batch, height, width] = x_BHWC.shape;
  const y_MO = affine(tf.reshape(x_BHWC, [-1, inputs]), kernelMatrix(p.weight), p.bias);
  return tf.reshape(y_MO, [batch, height, width, outputs]);
}

/**
 * gain · convolution(p, x). In float32 the gain scales the parameters: two passes over activations fewer in a train step.
 * 16 bits would lose small weights, and frozen ones are packed as they are.
 */
export function scaledConvolution(p: ConvolutionParameters, x_BHWC: Tensor4D, gain: number): Tensor4D {
  if (!multipliesOnCpu() || frozenVariable(p.weight)) return tf.mul(convolution(p, x_BHWC), gain);
  return convolution({ weight: tf.mul(p.weight, gain), bias: tf.mul(p.bias, gain) }, x_BHWC);
}

/** Transposed convolution: x_BHWC → [B, H · stride, W · stride, O]. Kernel [k, k, O, C]. */
export function upConvolution(p: ConvolutionParameters, x_BHWC: Tensor4D, stride: number): Tensor4D {
  const [batch, height, width] = x_BHWC.shape;
  const outputs = p.weight.shape[2] as number;
  const shape: [number, number, number, number] = [batch, height * stride, width * stride, outputs];
  return addBias(tf.conv2dTranspose(x_BHWC, p.weight as Tensor4D, shape, stride, 'same'), p.bias);
}
