// Two-dimensional convolution with zero padding: the image keeps its size, or is divided by the stride.
//   B batch, H height, W width, I channels in, O channels out, K side of the kernel

import { type Tensor, type Tensor2D, type Tensor4D, tf } from '../engine/tfjs/tf.ts';
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

/** x_BHWI → BHWO, or B, H / stride, W / stride, O. A 1×1 kernel is a product of two matrices, forwards and backwards. */
export function convolution(p: ConvolutionParameters, x: Tensor4D, stride = 1): Tensor4D {
  const [size, , inputs, outputs] = p.weight.shape as [number, number, number, number];
  if (size > 1) return tf.add(tf.conv2d(x, p.weight as Tensor4D, stride, 'same'), p.bias);
  const [batch, height, width] = x.shape;
  const y = tf.matMul(tf.reshape(x, [-1, inputs]), kernelMatrix(p.weight));
  return tf.reshape(tf.add(y, p.bias), [batch, height, width, outputs]);
}

/** The gradient of such a convolution as a layer of its own: x_BHWI → B, H · stride, W · stride, O. Kernel [K, K, O, I]. */
export function upConvolution(p: ConvolutionParameters, x: Tensor4D, stride: number): Tensor4D {
  const [batch, height, width] = x.shape;
  const outputs = p.weight.shape[2] as number;
  const shape: [number, number, number, number] = [batch, height * stride, width * stride, outputs];
  return tf.add(tf.conv2dTranspose(x, p.weight as Tensor4D, shape, stride, 'same'), p.bias);
}
