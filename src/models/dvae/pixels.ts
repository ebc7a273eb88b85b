// The map between pixels and the range of the logit-Laplace distribution (arXiv 2102.12092, appendix A.3), which keeps
// pixels away from 0 and 1, where the logit is not finite.
//   B batch, H height, W width

import { type Tensor4D, tf } from '../../engine/tfjs/tf.ts';

const EPSILON = 0.1;

/** [0, 1] → [0.1, 0.9]. */
export const mapPixels = (x: Tensor4D): Tensor4D => tf.add(tf.mul(x, 1 - 2 * EPSILON), EPSILON);

/** The inverse of `mapPixels`, clipped to [0, 1]. */
export const unmapPixels = (x: Tensor4D): Tensor4D =>
  tf.clipByValue(tf.div(tf.sub(x, EPSILON), 1 - 2 * EPSILON), 0, 1);

/** ln(x / (1 − x)) of mapped pixels: the inverse of the sigmoid. */
export const logit = (x: Tensor4D): Tensor4D => tf.log(tf.div(x, tf.sub(1, x)));

/** μ, the first three channels of the decoder's statistics. */
export const location = (stats_BHW6: Tensor4D): Tensor4D =>
  tf.slice(stats_BHW6, [0, 0, 0, 0], [-1, -1, -1, 3]);

/** The reconstructed pixels in [0, 1]: the sigmoid of μ, unmapped. */
export const reconstruction = (stats_BHW6: Tensor4D): Tensor4D =>
  unmapPixels(tf.sigmoid(location(stats_BHW6)));
