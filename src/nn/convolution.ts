// Two-dimensional convolution, stride 1, zero padding that keeps the picture's size.
//   B batch, H height, W width, I channels in, O channels out, K side of the kernel

import { type Tensor, type Tensor2D, type Tensor4D, tf } from '../engine/tf.ts';
import { constant, normal, type ParameterSpec, type Parameters } from './parameters.ts';

export type ConvolutionSpec = {
  readonly weight: ParameterSpec;
  readonly bias: ParameterSpec;
};
export type ConvolutionParameters = Parameters<ConvolutionSpec>;

/** Kernel [size, size, inputs, outputs], normal with deviation 1/√(inputs · size²); bias 0. `size` is odd. */
export const convolutionSpec = (inputs: number, outputs: number, size: number) =>
  ({
    weight: normal([size, size, inputs, outputs], 1 / Math.sqrt(inputs * size ** 2)),
    bias: constant([outputs], 0),
  }) satisfies ConvolutionSpec;

/** A 1×1 kernel as the matrix [inputs, outputs]. */
export function kernelMatrix(weight: Tensor): Tensor2D {
  const [, , inputs, outputs] = weight.shape as [number, number, number, number];
  return tf.reshape(weight, [inputs, outputs]);
}

/** x_BHWI → BHWO. A 1×1 kernel is a product of two matrices, forwards and backwards. */
export function convolution(p: ConvolutionParameters, x: Tensor4D): Tensor4D {
  const [size, , inputs, outputs] = p.weight.shape as [number, number, number, number];
  if (size > 1) return tf.add(tf.conv2d(x, p.weight as Tensor4D, 1, 'same'), p.bias);
  const [batch, height, width] = x.shape;
  const y = tf.matMul(tf.reshape(x, [-1, inputs]), kernelMatrix(p.weight));
  return tf.reshape(tf.add(y, p.bias), [batch, height, width, outputs]);
}
