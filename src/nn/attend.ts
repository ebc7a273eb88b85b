// Scaled dot-product attention with a hand-written gradient. tfjs would save every intermediate; this saves only the
// attention weights, and reads them half as often.
//   … batch axes, U groups of queries, Q queries of a group, K keys of a group, P keys that all groups share, d width
//   of a head, M = U · Q queries

import { withGradient } from '../engine/ops/gradient.ts';
import { checkpointed } from '../engine/ops/recompute.ts';
import { type Tensor, tf } from '../engine/tfjs/tf.ts';

/** What queries attend to. */
export interface KeyedValues {
  readonly keys: Tensor;
  readonly values: Tensor;
}

export interface AttendOptions {
  /** Added to the scores of a group's own keys, [Q, K] or [U, Q, K]. */
  readonly mask?: Tensor | undefined;
  /** Keys and values that every group attends to besides its own: […, P, d], without the axis of groups. */
  readonly shared?: KeyedValues | undefined;
  /**
   * Multiplies the scores before the softmax, after their maximum is subtracted; 1 by default. Queries divided by it
   * keep the products of large queries and keys small (arXiv 2105.13290).
   */
  readonly sharpness?: number | undefined;
  /** Whether the attention weights and the output are saved even where activations are recomputed. */
  readonly keeps?: boolean;
}

/**
 * softmax(q kᵀ + mask) v. The queries are already scaled.
 * @param queries […, U, Q, d], or […, Q, d] when nothing is shared
 * @param own each group's keys and values, […, U, K, d]
 * @returns the shape of `queries`
 */
export function attend(queries: Tensor, own: KeyedValues, options: AttendOptions = {}): Tensor {
  const { mask, shared, sharpness = 1, keeps = false } = options;
  const saved = keeps ? checkpointed : (make: () => Tensor): Tensor => make();
  const inputs = [queries, own.keys, own.values, ...(shared ? [shared.keys, shared.values] : [])];
  return withGradient(
    (save, ...tensors) => {
      const [q_UQd, k_UKd, v_UKd, k_Pd, v_Pd] = tensors as [Tensor, Tensor, Tensor, Tensor?, Tensor?];
      const weights = saved(() => {
        const product_UQK = matMul(q_UQd, k_UKd, false, true);
        const own_UQK = mask ? tf.add(product_UQK, mask) : product_UQK;
        const scores = k_Pd
          ? tf.concat([splitGroups(matMul(joinGroups(q_UQd), k_Pd, false, true), q_UQd), own_UQK], -1)
          : own_UQK;
        return tf.softmax(sharpness === 1 ? scores : sharpened(scores, sharpness));
      });
      const output_UQd = saved(() => {
        const [weights_UQP, weights_UQK] = splitWeights(weights, k_Pd);
        const ofOwn_UQd = matMul(weights_UQK, v_UKd);
        return weights_UQP && v_Pd
          ? tf.add(ofOwn_UQd, splitGroups(matMul(joinGroups(weights_UQP), v_Pd), q_UQd))
          : ofOwn_UQd;
      });
      save([q_UQd, k_UKd, v_UKd, output_UQd, weights, ...(k_Pd && v_Pd ? [k_Pd, v_Pd] : [])]);
      return { value: output_UQd, gradFunc: (dy_UQd, saved) => gradients(dy_UQd, saved, sharpness) };
    },
    ...inputs,
  );
}

/** The gradients of queries, keys and values, and of the shared keys and values. */
function gradients(dy_UQd: Tensor, saved: Tensor[], sharpness: number): Tensor[] {
  const [q_UQd, k_UKd, v_UKd, output_UQd, weights, k_Pd, v_Pd] = saved as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    ...Tensor[],
  ];
  // Σ over keys of weight · gradient of the weight, which equals this sum over d.
  const mean_UQ1 = tf.sum(tf.mul(dy_UQd, output_UQd), -1, true);
  const [weights_UQP, weights_UQK] = splitWeights(weights, k_Pd);
  const scoreGradient = (w: Tensor, dWeights: Tensor): Tensor => {
    const gradient = tf.mul(w, tf.sub(dWeights, mean_UQ1));
    return sharpness === 1 ? gradient : tf.mul(gradient, sharpness);
  };
  const dScores_UQK = scoreGradient(weights_UQK, matMul(dy_UQd, v_UKd, false, true));
  const dq_UQd = matMul(dScores_UQK, k_UKd);
  const dOwn = [matMul(dScores_UQK, q_UQd, true), matMul(weights_UQK, dy_UQd, true)];
  if (!weights_UQP || !k_Pd || !v_Pd) return [dq_UQd, ...dOwn];
  const dWeights_UQP = splitGroups(matMul(joinGroups(dy_UQd), v_Pd, false, true), dy_UQd);
  const dScores_MP = joinGroups(scoreGradient(weights_UQP, dWeights_UQP));
  return [
    tf.add(dq_UQd, splitGroups(matMul(dScores_MP, k_Pd), q_UQd)),
    ...dOwn,
    matMul(dScores_MP, joinGroups(q_UQd), true),
    matMul(joinGroups(weights_UQP), joinGroups(dy_UQd), true),
  ];
}

const matMul = (a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor =>
  tf.matMul(a, b, transposeA, transposeB);

/** The weights of the shared keys, if any, and of a group's own keys. */
function splitWeights(
  weights: Tensor,
  k_Pd: Tensor | undefined,
): [weights_UQP: Tensor | undefined, weights_UQK: Tensor] {
  if (!k_Pd) return [undefined, weights];
  const shared = k_Pd.shape.at(-2) as number;
  const all = weights.shape.at(-1) as number;
  return tf.split(weights, [shared, all - shared], -1) as [Tensor, Tensor];
}

/** Scores minus their maximum, times the sharpness. */
const sharpened = (scores: Tensor, sharpness: number): Tensor =>
  tf.mul(tf.sub(scores, tf.max(scores, -1, true)), sharpness);

/** […, U, Q, n] → […, M = U · Q, n]. */
function joinGroups(x: Tensor): Tensor {
  const [groups, queries, n] = x.shape.slice(-3) as [number, number, number];
  return tf.reshape(x, [...x.shape.slice(0, -3), groups * queries, n]);
}

/** […, M = U · Q, n] → […, U, Q, n], with the U and Q of `like`. */
const splitGroups = (x: Tensor, like: Tensor): Tensor =>
  tf.reshape(x, [...like.shape.slice(0, -1), x.shape.at(-1) as number]);
