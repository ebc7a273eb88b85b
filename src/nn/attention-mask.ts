// Additive attention masks: 0 where a query attends to a key and MASKED elsewhere.
//   Q queries, K keys, N positions

import { type Tensor, tf } from '../engine/tfjs/tf.ts';

/** Added to the score of a pair that does not attend, or replaces a logit: its exponential is 0. */
export const MASKED = -1e9;

/** @returns [Q, K], or [Q, Q] when only Q is given */
export function additiveMask(
  [queries, keys = queries]: readonly [queries: number, keys?: number],
  isAttended: (query: number, key: number) => boolean,
): Tensor {
  const values = Float32Array.from({ length: queries * keys }, (_, i) =>
    isAttended(Math.floor(i / keys), i % keys) ? 0 : MASKED,
  );
  return tf.tensor2d(values, [queries, keys]);
}

/** Each position attends to itself and the ones before it: [N, N]. */
export const causalMask = (positions: number): Tensor =>
  additiveMask([positions], (query, key) => key <= query);
