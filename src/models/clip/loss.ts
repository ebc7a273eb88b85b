// The symmetric contrastive objective (arXiv 2103.00020, section 2.3 and figure 3).
//   B batch, E embedding

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

/** Cosines of images and texts times exp(logitScale): [images, texts]. */
export const similarities = (images_BE: Tensor2D, texts_BE: Tensor2D, logitScale: Tensor): Tensor2D =>
  tf.mul(tf.matMul(images_BE, texts_BE, false, true), tf.exp(logitScale));

/**
 * The mean of both cross entropies with the diagonal as labels, in nats.
 * @param images_BE features of images, of length 1
 * @param texts_BE features of their texts, of length 1
 * @param logitScale scalar
 */
export function clipLoss(images_BE: Tensor2D, texts_BE: Tensor2D, logitScale: Tensor): ClipLoss {
  const [batch] = images_BE.shape;
  const logits_BB = similarities(images_BE, texts_BE, logitScale);
  const own_B = tf.range(0, batch, 1, 'int32') as Tensor1D;
  const byImage = tf.mean(sparseCrossEntropy(logits_BB, own_B));
  const byText = tf.mean(sparseCrossEntropy(tf.transpose(logits_BB), own_B));
  const hits = (axis: number): Tensor =>
    tf.mean(tf.cast(tf.equal(tf.argMax(logits_BB, axis), own_B), 'float32'));
  return {
    loss: tf.mul(tf.add(byImage, byText), 0.5),
    accuracy: tf.mul(tf.add(hits(0), hits(1)), 0.5),
  };
}
