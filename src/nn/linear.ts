// x W + b over the last axis.
//   … leading axes, M their product, C channels in, O channels out

import { affine } from '../engine/ops/linear-algebra.ts';
import { type Tensor, tf } from '../engine/tfjs/tf.ts';
import { constant, normal, type ParameterSpec, type Parameters } from './parameters.ts';

export type LinearSpec = {
  readonly weight: ParameterSpec;
  readonly bias: ParameterSpec | undefined;
};
export type LinearParameters = Parameters<LinearSpec>;

/** Weight [C, O], normal with `stddev`; bias 0. */
export const linearSpec = (inputs: number, outputs: number, stddev: number): LinearSpec => ({
  weight: normal([inputs, outputs], stddev),
  bias: constant([outputs], 0),
});

/** x W, plus the bias if any: [..., C] → [..., O]. One matrix product, whatever the rank of x. */
export function linear(p: Partial<LinearParameters> & Pick<LinearParameters, 'weight'>, x: Tensor): Tensor {
  const [inputs, outputs] = p.weight.shape as [number, number];
  const y_MO = affine(tf.reshape(x, [-1, inputs]), p.weight, p.bias);
  return tf.reshape(y_MO, [...x.shape.slice(0, -1), outputs]);
}
