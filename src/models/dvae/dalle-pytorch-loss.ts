// The loss of DALLE-pytorch's DiscreteVAE (1.6.6).
//   B batch, H height, W width, G codes on a side, V vocabulary, C width of a code's embedding,
//   M = B · G² codes

import type { DallePytorchDvaeConfig } from '../../config/dvae.ts';
import { type Scalar, type Tensor2D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { reinmax, straightThrough } from '../../nn/functional/one-hot.ts';
import { type DiscreteVaeParameters, decode, denormalize, encode, normalize } from './dalle-pytorch.ts';
import { gumbelSoftmax, uniformKl } from './loss.ts';
import type { DvaeLoss, Relaxation } from './types.ts';

/** Smooth L1 loss of the difference d: mean of d²/2 where |d| < 1, and of |d| − 1/2 elsewhere. */
function smoothL1(a: Tensor4D, b: Tensor4D): Scalar {
  const distance = tf.abs(tf.sub(a, b));
  const quadratic = tf.minimum(distance, 1);
  return tf.mean(tf.sub(tf.mul(quadratic, distance), tf.mul(tf.square(quadratic), 0.5)));
}

/** The relaxed codes, BGGV: soft, or one-hot with a first- or second-order gradient. */
function relaxedCodes(
  logits_BGGV: Tensor4D,
  config: DallePytorchDvaeConfig,
  { temperature, key }: Relaxation,
): Tensor4D {
  const soft_BGGV = gumbelSoftmax(logits_BGGV, temperature, key);
  if (!config.straightThrough) return soft_BGGV;
  if (!config.reinmax) return straightThrough(soft_BGGV);
  return reinmax(logits_BGGV, soft_BGGV, temperature);
}

/**
 * Reconstruction loss of the normalized images + β · KL, where the KL is summed over the grid *and the batch*: theirs
 * is a `batchmean` whose first argument has one row, whatever the batch. Twice the batch doubles the weight of the KL.
 * @param pixels_BHW3 in [0, 1]
 */
export function discreteVaeLoss(
  p: DiscreteVaeParameters,
  pixels_BHW3: Tensor4D,
  config: DallePytorchDvaeConfig,
  relaxation: Relaxation,
): DvaeLoss {
  const x_BHW3 = normalize(pixels_BHW3, config);
  const logits_BGGV = encode(p.encoder, x_BHW3);
  const z_BGGV = relaxedCodes(logits_BGGV, config, relaxation);
  const [batch, grid, , vocabulary] = z_BGGV.shape;
  const embeddings_MC = tf.matMul(tf.reshape(z_BGGV, [-1, vocabulary]), p.codebook as Tensor2D);
  const decoded_BHW3 = decode(p.decoder, tf.reshape(embeddings_MC, [batch, grid, grid, -1]));
  const reconstruction: Scalar =
    config.reconstruction === 'mse'
      ? tf.mean(tf.square(tf.sub(x_BHW3, decoded_BHW3)))
      : smoothL1(x_BHW3, decoded_BHW3);
  const kl = uniformKl(logits_BGGV);
  return {
    loss: tf.add(reconstruction, tf.mul(relaxation.klWeight, tf.mul(kl, relaxation.batch ?? batch))),
    reconstruction,
    kl,
    mse: tf.mean(tf.square(tf.sub(denormalize(decoded_BHW3, config), pixels_BHW3))),
    logits: logits_BGGV,
  };
}
