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
  readonly epsilon: number;
  /** Operations that run first, for example weight decay. */
  readonly after: readonly Pointer[];
}

/**
 * One Adam update (arXiv 1412.6980) of the variable and both moments. TensorFlow adds ε to √v before the bias
 * correction; ε is scaled here so that it acts as in the paper, where it is added after the correction.
 */
export function applyAdam(step: AdamStep): Pointer {
  const epsilon = tf.scalar(1).sub(step.beta2Power).sqrt().mul(step.epsilon);
  return step.variable.update(
    'ResourceApplyAdam',
    [step.beta1Power, step.beta2Power, step.learningRate, step.beta1, step.beta2, epsilon, step.gradient],
    {
      resources: [step.firstMoment, step.secondMoment],
      attributes: [typeAttr('T', DT.float32), boolAttr('use_locking', false)],
      after: step.after,
    },
  );
}
