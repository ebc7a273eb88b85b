// Dropout (arXiv 1207.0580): the same key drops the same elements.

import { withGradient } from '../engine/ops/gradient.ts';
import { randomUniform } from '../engine/ops/random.ts';
import { withControlDependency } from '../engine/ops/recompute.ts';
import { type Tensor, type Tensor1D, tf } from '../engine/tfjs/tf.ts';

/**
 * Sets a share `rate` of x to 0 and divides the rest by 1 − rate. The gradient samples the mask again instead of saving
 * it. A control dependency on the tensor to be masked keeps TensorFlow from merging the two samples.
 * @param key int32[2]
 */
export function dropout(x: Tensor, rate: number, key: Tensor1D): Tensor {
  if (rate === 0) return x;
  const drop = (all: Tensor, ownKey: Tensor): Tensor => {
    const isKept = tf.greaterEqual(
      randomUniform(withControlDependency(ownKey, all) as Tensor1D, all.shape),
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
