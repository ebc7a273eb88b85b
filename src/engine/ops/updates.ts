// Optimizer updates that TensorFlow has as single ops.

import { boolAttr, typeAttr } from '../graph/attributes.ts';
import type { Pointer } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { type Scalar, type Tensor, tf } from '../tfjs/tf.ts';
import type { Variable } from '../tfjs/variable.ts';

export interface AdamStep {
  readonly variable: Variable;
  readonly firstMoment: Variable;
  readonly secondMoment: Variable;
  readonly gradient: Tensor;
  readonly learningRate: Scalar;
  /** β₁ᵗ and β₂ᵗ of update t, counted from 1. */
  readonly beta1Power: Scalar;
  readonly beta2Power: Scalar;
  readonly beta1: Scalar;
  readonly beta2: Scalar;
  /** See `scaledEpsilon`. */
  readonly epsilon: Scalar;
  /** Operations that run first, for example weight decay. */
  readonly after: readonly Pointer[];
}

/**
 * TensorFlow adds ε to √v before the bias correction; this is the ε that acts as in the paper, where it is added after
 * the correction.
 */
export const scaledEpsilon = (epsilon: number, beta2Power: Scalar): Scalar =>
  tf.scalar(1).sub(beta2Power).sqrt().mul(epsilon) as Scalar;

/** One Adam update (arXiv 1412.6980) of the variable and both moments. */
export function applyAdam(step: AdamStep): Pointer {
  return step.variable.update(
    'ResourceApplyAdam',
    [
      step.beta1Power,
      step.beta2Power,
      step.learningRate,
      step.beta1,
      step.beta2,
      step.epsilon,
      step.gradient,
    ],
    {
      resources: [step.firstMoment, step.secondMoment],
      attributes: [typeAttr('T', DT.float32), boolAttr('use_locking', false)],
      after: step.after,
    },
  );
}
