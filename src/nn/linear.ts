// x W + b over the last axis.
//   … leading axes, I inputs, O outputs

import { affine } from '../engine/ops/linear-algebra.ts';
import { type Tensor, tf } from '../engine/tfjs/tf.ts';
import { constant, normal, type ParameterSpec, type Parameters } from './parameters.ts';

export type LinearSpec = {
  readonly weight: ParameterSpec;
  readonly bias: ParameterSpec | undefined;
};
export type LinearParameters = Parameters<LinearSpec>;

/** Weight [inputs, outputs], normal with `stddev`; bias 0. */
export const linearSpec = (inputs: number, outputs: number, stddev: number): LinearSpec => ({
  weight: normal([inputs, outputs], stddev),
  bias: constant([outputs], 0),
});

/** x_…I → [..., O], plus the bias where there is one. One product of two matrices whatever the rank of x. */
export function linear(p: Partial<LinearParameters> & Pick<LinearParameters, 'weight'>, x: Tensor): Tensor {
  const [inputs, outputs] = p.weight.shape as [number, number];
  const product = affine(tf.reshape(x, [-1, inputs]), p.weight, p.bias);
  return tf.reshape(product, [...x.shape.slice(0, -1), outputs]);
}
