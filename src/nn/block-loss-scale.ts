// A loss scale for each resblock (arXiv 2102.12092, section 2.4 and figure 4): gradients are multiplied where they
// enter a branch of the residual stream and divided where they leave it, so that 16-bit products inside the branch
// neither underflow nor overflow. The gradient of the stream itself stays unscaled, in 32 bits.

import { withGradient } from '../engine/ops/gradient.ts';
import { type Tensor, tf } from '../engine/tfjs/tf.ts';

/** The identity at the end of a branch; its gradient is multiplied by `scale`, a scalar. */
export const leaveScale = (x: Tensor, scale: Tensor): Tensor =>
  withGradient((save, input) => {
    save([scale]);
    return {
      value: (input as Tensor).clone(),
      gradFunc: (dy, [saved]) => [tf.mul(dy, saved as Tensor)],
    };
  }, x);

/**
 * The identity at the start of a branch; its gradient is divided by `scale`, a scalar. Elements that are not finite
 * become 0, since they would make every branch before this one overflow too.
 */
export const enterScale = (x: Tensor, scale: Tensor): Tensor =>
  withGradient((save, input) => {
    save([scale]);
    return {
      value: (input as Tensor).clone(),
      gradFunc: (dy, [saved]) => [tf.where(tf.isFinite(dy), tf.div(dy, saved as Tensor), tf.zerosLike(dy))],
    };
  }, x);
