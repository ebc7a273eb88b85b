// The symmetric contrastive objective (arXiv 2103.00020, section 2.3 and figure 3), and the pairwise sigmoid loss
// (arXiv 2303.15343).
//   B batch, C some of its images, E embedding

import { type Scalar, type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import { sparseCrossEntropy } from '../../nn/functional/cross-entropy.ts';

/** ln of the largest factor on the cosines: the factor is clipped at 100 to keep training stable (section 2.5). */
export const MAX_LOGIT_SCALE = Math.log(100);

export interface ClipLoss {
  /** The training loss. */
  readonly loss: Scalar;
  /** Share of images whose closest text is their own, and of texts whose closest image is, averaged. */
  readonly accuracy: Scalar;
}

/** What makes logits of cosines. */
export interface LogitParameters<T = Tensor> {
  /** ln of the factor on the cosines. */
  readonly scale: T;
  /** Added after that; of the sigmoid loss, and of it alone. */
  readonly bias?: T | undefined;
}

/** Logits of images and texts, their cosines times exp(scale) and the bias if any: [images, texts]. */
export function similarities(
  images_BE: Tensor2D,
  texts_BE: Tensor2D,
  { scale, bias }: LogitParameters,
): Tensor2D {
  const scaled = tf.mul(tf.matMul(images_BE, texts_BE, false, true), tf.exp(scale)) as Tensor2D;
  return bias ? tf.add(scaled, bias) : scaled;
}

/**
 * −ln σ of the pairs' logits, of those that do not belong together negated, over the batch (arXiv 2303.15343,
 * equation 2): a sum over the pairs of images C with all texts.
 * @param own_C the text of each image, int32
 */
export function sigmoidLoss(logits_CB: Tensor2D, own_C: Tensor1D): Scalar {
  const [, batch] = logits_CB.shape;
  const signs_CB = tf.sub(1, tf.mul(2, tf.oneHot(own_C, batch)));
  return tf.div(tf.sum(tf.softplus(tf.mul(logits_CB, signs_CB))), batch);
}

/**
 * The mean of both cross entropies with the diagonal as labels, in nats; with a bias, the sigmoid loss.
 * @param images_BE features of images, of length 1
 * @param texts_BE features of their texts, of length 1
 */
export function clipLoss(images_BE: Tensor2D, texts_BE: Tensor2D, parameters: LogitParameters): ClipLoss {
  const [batch] = images_BE.shape;
  const logits_BB = similarities(images_BE, texts_BE, parameters);
  const own_B = tf.range(0, batch, 1, 'int32') as Tensor1D;
  const hits = (axis: number): Tensor =>
    tf.mean(tf.cast(tf.equal(tf.argMax(logits_BB, axis), own_B), 'float32'));
  return {
    loss: parameters.bias ? sigmoidLoss(logits_BB, own_B) : softmaxLoss(logits_BB, own_B),
    accuracy: tf.mul(tf.add(hits(0), hits(1)), 0.5),
  };
}

function softmaxLoss(logits_BB: Tensor2D, own_B: Tensor1D): Scalar {
  const byImage = tf.mean(sparseCrossEntropy(logits_BB, own_B));
  const byText = tf.mean(sparseCrossEntropy(tf.transpose(logits_BB), own_B));
  return tf.mul(tf.add(byImage, byText), 0.5);
}
