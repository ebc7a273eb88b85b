// The symmetric contrastive objective (arXiv 2103.00020, section 2.3 and figure 3).
//   B batch, E embedding

import { type Scalar, type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import { sparseCrossEntropy } from '../../nn/functional/cross-entropy.ts';

/** The factor on the cosines is clipped at 100, for a stable training (section 2.5). */
export const MAX_LOGIT_SCALE = Math.log(100);

export interface ClipLoss {
  /** What is minimised. */
  readonly loss: Scalar;
  /** Share of the images whose own text is the nearest, and of the texts whose own image is. */
  readonly accuracy: Scalar;
}

/** Cosines times exp(logitScale), a row for each image; the transpose has a row for each text. */
export const similarities = (images_BE: Tensor2D, texts_BE: Tensor2D, logitScale: Tensor): Tensor2D =>
  tf.mul(tf.matMul(images_BE, texts_BE, false, true), tf.exp(logitScale));

/** The mean of both cross entropies against the diagonal, in nats. Features have length 1. */
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
