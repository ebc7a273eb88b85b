// The dVAE's objective (arXiv 2102.12092, section 2.1 and appendix A): the evidence lower bound under the
// Gumbel-softmax relaxation, with a logit-Laplace likelihood and a uniform prior over the codebook.
//   B batch, H height, W width, G codes on a side, V vocabulary

import type { OpenaiDvaeConfig } from '../../config/dvae.ts';
import { randomGumbel } from '../../engine/ops/random.ts';
import { type Scalar, type Tensor1D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { type DvaeParameters, decode, encode } from './model.ts';
import { location, logit, mapPixels, reconstruction } from './pixels.ts';
import type { DvaeLoss, Relaxation } from './types.ts';

/**
 * A sample of the relaxed codes: softmax((logits + Gumbel noise) / τ) over the vocabulary (arXiv 1611.01144).
 * @param temperature τ, a scalar; samples become one-hot as it goes to 0
 * @param key of the noise, int32[2]
 */
export function gumbelSoftmax(logits_BGGV: Tensor4D, temperature: Scalar, key: Tensor1D): Tensor4D {
  const noise = randomGumbel(key, logits_BGGV.shape);
  return tf.softmax(tf.div(tf.add(logits_BGGV, noise), temperature));
}

/**
 * −ln p(x | μ, b) of mapped pixels under the logit-Laplace distribution, in nats, mean over pixels and channels.
 * @param minLogScale least ln b; the release has none. A flat background is matched almost exactly, so b goes to 0
 *   there and its gradient, of size 1/b, dominates all others
 */
export function logitLaplaceLoss(stats_BHW6: Tensor4D, x_BHW3: Tensor4D, minLogScale?: number): Scalar {
  const predicted = tf.slice(stats_BHW6, [0, 0, 0, 3], [-1, -1, -1, 3]);
  const logScale = minLogScale === undefined ? predicted : tf.maximum(predicted, minLogScale);
  const complement = tf.sub(1, x_BHW3);
  const distance = tf.mul(tf.abs(tf.sub(logit(x_BHW3), location(stats_BHW6))), tf.exp(tf.neg(logScale)));
  const logJacobian = tf.log(tf.mul(x_BHW3, complement));
  return tf.mean(tf.addN([distance, logScale, tf.add(logJacobian, Math.LN2)]));
}

/**
 * KL divergence of the codes' distribution from the uniform prior, in nats: summed over the grid, mean over the batch.
 */
export function uniformKl(logits_BGGV: Tensor4D): Scalar {
  const [batch, , , vocabulary] = logits_BGGV.shape;
  const logPosterior = tf.logSoftmax(logits_BGGV);
  const ratio = tf.add(logPosterior, Math.log(vocabulary));
  return tf.div(tf.sum(tf.mul(tf.exp(logPosterior), ratio)), batch);
}

/**
 * The training loss (−ln p(x|z) + β · KL) / (pixels × channels).
 * @param pixels_BHW3 in [0, 1]
 */
export function dvaeLoss(
  p: DvaeParameters,
  pixels_BHW3: Tensor4D,
  config: OpenaiDvaeConfig,
  { key, temperature, klWeight, minLogScale }: Relaxation,
): DvaeLoss {
  const x_BHW3 = mapPixels(pixels_BHW3);
  const logits_BGGV = encode(p.encoder, x_BHW3, config);
  const stats_BHW6 = decode(p.decoder, gumbelSoftmax(logits_BGGV, temperature, key), config);
  const likelihood = logitLaplaceLoss(stats_BHW6, x_BHW3, minLogScale);
  const kl = uniformKl(logits_BGGV);
  const [, height, width, channels] = pixels_BHW3.shape;
  return {
    loss: tf.add(likelihood, tf.div(tf.mul(klWeight, kl), height * width * channels)),
    reconstruction: likelihood,
    kl,
    mse: squaredError(stats_BHW6, pixels_BHW3),
    logits: logits_BGGV,
  };
}

const squaredError = (stats_BHW6: Tensor4D, pixels_BHW3: Tensor4D): Scalar =>
  tf.mean(tf.square(tf.sub(reconstruction(stats_BHW6), pixels_BHW3)));
