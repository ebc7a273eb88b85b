// A gradient scale for each resblock (arXiv 2102.12092, section 2.4 and figure 4): gradients are multiplied on their
// way into a branch of the residual stream and divided on their way out, so that 16-bit products inside neither lose
// nor overflow them, while the stream's own gradient stays as it is in 32 bits.

import { withGradient } from '../engine/ops/gradient.ts';
import { type Tensor, tf } from '../engine/tfjs/tf.ts';

/** Where a branch ends: its gradient comes in multiplied by `scale`. */
export const leaveScale = (x: Tensor, scale: Tensor): Tensor =>
  withGradient((save, input) => {
    save([scale]);
    return {
      value: (input as Tensor).clone(),
      gradFunc: (dy, [saved]) => [tf.mul(dy, saved as Tensor)],
    };
  }, x);

/**
 * Where a branch begins: its gradient goes out divided by `scale`, without the numbers that are not finite, which
 * would make every branch before this one overflow too.
 */
export const enterScale = (x: Tensor, scale: Tensor): Tensor =>
  withGradient((save, input) => {
    save([scale]);
    return {
      value: (input as Tensor).clone(),
      gradFunc: (dy, [saved]) => [tf.where(tf.isFinite(dy), tf.div(dy, saved as Tensor), tf.zerosLike(dy))],
    };
  }, x);
