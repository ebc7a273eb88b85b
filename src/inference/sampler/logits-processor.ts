// Restricts the distribution of the next token to its most likely tokens (top-k, top-p).
//   B batch, V vocabulary, K sorted tokens

import { kthLargest } from '../../engine/ops/reductions.ts';
import { type Tensor, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import { MASKED } from '../../nn/attention-mask.ts';
import { padToMultipleOf16 } from '../padding.ts';

/**
 * Keeps the `topK` most likely tokens and, of these, the fewest whose probabilities sum to at least `topP`. The other
 * tokens get the logit −1e9. Tokens as likely as the last one kept are kept too.
 * @param topK whole, at least 1; undefined for all
 * @param topP above 0, at most 1; undefined for all
 */
export function filterLogits(logits_BV: Tensor2D, topK?: number, topP?: number): Tensor2D {
  const [, vocabulary] = logits_BV.shape;
  const count = Math.min(topK ?? vocabulary, vocabulary);
  if (count === vocabulary && (topP ?? 1) >= 1) return logits_BV;
  const threshold_B1 =
    topP === undefined
      ? kthLargest(logits_BV, count)
      : tf.min(nucleus(tf.topk(logits_BV, count, true).values, topP), 1, true);
  return tf.where(tf.greaterEqual(logits_BV, threshold_B1), logits_BV as Tensor, MASKED) as Tensor2D;
}

/**
 * Of logits in descending order, the ones whose predecessors have less than `topP` of the probability; the first logit
 * replaces the others. With padding to a multiple of 16, the exponentials of a row do not depend on the other rows.
 */
function nucleus(sorted_BK: Tensor, topP: number): Tensor {
  const count = sorted_BK.shape[1] as number;
  const first_B1 = tf.slice(sorted_BK, [0, 0], [-1, 1]);
  const missing = padToMultipleOf16(count) - count;
  const below_BK = tf.pad(
    tf.sub(sorted_BK, first_B1),
    [
      [0, 0],
      [0, missing],
    ],
    MASKED,
  );
  const masses_BK = tf.slice(tf.exp(below_BK), [0, 0], [-1, count]);
  const before_BK = tf.cumsum(masses_BK, 1, true);
  const enough_B1 = tf.mul(tf.sum(masses_BK, 1, true), topP);
  return tf.where(tf.less(before_BK, enough_B1), sorted_BK, first_B1);
}

/**
 * The number of tokens to keep. A whole number is that number; a share below 1 is the share of the vocabulary to leave out,
 * as DALLE-pytorch's filter_thres.
 */
export function topKCount(topK: number | undefined, vocabulary: number): number | undefined {
  if (topK === undefined) return undefined;
  return topK < 1 ? Math.max(1, Math.floor((1 - topK) * vocabulary)) : Math.min(topK, vocabulary);
}
