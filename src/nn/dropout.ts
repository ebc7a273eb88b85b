// Dropout (arXiv 1207.0580): the same key drops the same numbers.

import { randomUniform } from '../engine/random.ts';
import { type Tensor, type Tensor1D, tf } from '../engine/tf.ts';

/** A share `rate` of x becomes 0, the rest grows by 1 / (1 − rate). */
export function dropout(x: Tensor, rate: number, key: Tensor1D): Tensor {
  if (rate === 0) return x;
  const isKept = tf.greaterEqual(randomUniform(key, x.shape), rate);
  return tf.mul(x, tf.mul(tf.cast(isKept, 'float32'), 1 / (1 - rate)));
}
