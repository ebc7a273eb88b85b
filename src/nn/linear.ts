// x W + b over the last axis.
//   … leading axes, I inputs, O outputs

import { type Tensor, tf } from '../engine/tf.ts';
import { constant, normal, type ParameterSpec, type Parameters } from './parameters.ts';

export type LinearSpec = {
  readonly weight: ParameterSpec;
  readonly bias: ParameterSpec;
};
export type LinearParameters = Parameters<LinearSpec>;

/** Weight [inputs, outputs], normal with `stddev`; bias 0. */
export const linearSpec = (inputs: number, outputs: number, stddev: number) =>
  ({ weight: normal([inputs, outputs], stddev), bias: constant([outputs], 0) }) satisfies LinearSpec;

/** x_…I → [..., O]. One product of two matrices whatever the rank of x. */
export function linear(p: LinearParameters, x: Tensor): Tensor {
  const [inputs, outputs] = p.weight.shape as [number, number];
  const y = tf.add(tf.matMul(tf.reshape(x, [-1, inputs]), p.weight), p.bias);
  return tf.reshape(y, [...x.shape.slice(0, -1), outputs]);
}
