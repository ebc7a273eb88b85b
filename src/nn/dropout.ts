// Dropout (arXiv 1207.0580): the same key drops the same numbers.

import { withGradient } from '../engine/ops/gradient.ts';
import { randomUniform } from '../engine/ops/random.ts';
import { withControlDependency } from '../engine/ops/recompute.ts';
import { type Tensor, type Tensor1D, tf } from '../engine/tfjs/tf.ts';

/**
 * A share `rate` of x becomes 0, the rest grows by 1 / (1 − rate). What was dropped is drawn again for the gradient, not
 * kept: each time with a key of the same numbers that is there only then, lest TensorFlow merges the draws.
 */
export function dropout(x: Tensor, rate: number, key: Tensor1D): Tensor {
  if (rate === 0) return x;
  const drop = (all: Tensor, drawnWith: Tensor): Tensor => {
    const isKept = tf.greaterEqual(
      randomUniform(withControlDependency(drawnWith, all) as Tensor1D, all.shape),
      rate,
    );
    return tf.mul(all, tf.mul(tf.cast(isKept, 'float32'), 1 / (1 - rate)));
  };
  return withGradient((save, input) => {
    save([key]);
    return {
      value: drop(input as Tensor, key),
      gradFunc: (dy, [saved]) => [drop(dy, saved as Tensor)],
    };
  }, x);
}
