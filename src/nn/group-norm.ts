// Group normalization of images (arXiv 1803.08494).
//   B batch, H height, W width, C channels, g groups of channels

import { type Tensor2D, type Tensor4D, tf } from '../engine/tfjs/tf.ts';
import type { LayerNormParameters } from './layer-norm.ts';

/**
 * (x − mean) / √(variance + epsilon) · gain + bias, with the mean and the variance of each image and group of adjacent
 * channels. Sums run over the pixels of a channel first, as channels lie side by side in memory.
 * @param groups divides the channels
 * @returns the shape of x
 */
export function groupNorm(
  p: LayerNormParameters,
  x_BHWC: Tensor4D,
  groups: number,
  epsilon: number,
): Tensor4D {
  const channels = x_BHWC.shape[3];
  const mean_BC = overGroups(tf.mean(x_BHWC, [1, 2]) as Tensor2D, groups);
  const centred_BHWC = tf.sub(x_BHWC, tf.reshape(mean_BC, [-1, 1, 1, channels]));
  const variance_BC = overGroups(tf.mean(tf.square(centred_BHWC), [1, 2]) as Tensor2D, groups);
  const scale_BC = tf.mul(tf.rsqrt(tf.add(variance_BC, epsilon)), p.gain);
  return tf.add(tf.mul(centred_BHWC, tf.reshape(scale_BC, [-1, 1, 1, channels])), p.bias);
}

/** The mean over each group, for each of its channels. */
function overGroups(x_BC: Tensor2D, groups: number): Tensor2D {
  const [batch, channels] = x_BC.shape;
  const size = channels / groups;
  const mean_Bg1 = tf.mean(tf.reshape(x_BC, [batch, groups, size]), 2, true);
  return tf.reshape(tf.tile(mean_Bg1, [1, 1, size]), [batch, channels]);
}
