// Narrowing the distribution of the next token before drawing from it.
//   B batch, V vocabulary

import { type Scalar, type Tensor, type Tensor2D, tf } from '../../engine/tf.ts';

const NEVER = -1e9;

/**
 * Keeps the `topK` most likely tokens, and of these the fewest whose probabilities sum to at least `topP`; the
 * others get a logit of −1e9. Tokens as likely as the last one kept stay too.
 * @param topK int32 scalar, at least 1; undefined for all
 * @param topP scalar in (0, 1]; undefined for all
 */
export function filterLogits(logits_BV: Tensor2D, topK?: Scalar, topP?: Scalar): Tensor2D {
  if (!topK && !topP) return logits_BV;
  const [, vocabulary] = logits_BV.shape;
  const sorted_BV: Tensor = tf.topk(logits_BV, vocabulary, true).values;
  const never: Tensor = tf.scalar(NEVER);
  const rank_V = tf.range(0, vocabulary, 1, 'int32');
  let kept_BV: Tensor = sorted_BV;
  if (topK) kept_BV = tf.where(tf.less(rank_V, topK), kept_BV, never);
  if (topP) {
    const probabilities_BV = tf.softmax(kept_BV);
    const before_BV = tf.cumsum(probabilities_BV, 1, true);
    kept_BV = tf.where(tf.less(before_BV, topP), kept_BV, never);
  }
  // The least likely token that is kept; those cut are far below it.
  const isKept_BV = tf.greater(kept_BV, NEVER / 2);
  const threshold_B1 = tf.min(tf.where(isKept_BV, sorted_BV, tf.neg(never)), 1, true);
  return tf.where(tf.greaterEqual(logits_BV, threshold_B1), logits_BV as Tensor, never) as Tensor2D;
}

/**
 * The number of tokens to keep: a whole number means itself, a share below 1 is left out of the vocabulary, as
 * DALLE-pytorch's filter_thres does.
 */
export function keptCodes(topK: number | undefined, vocabulary: number): number | undefined {
  if (topK === undefined) return undefined;
  return topK < 1 ? Math.max(1, Math.floor((1 - topK) * vocabulary)) : Math.min(topK, vocabulary);
}
