// The weighted mean of values that attention is, as one differentiable step. tfjs would take the gradient of each of
// its ops; by hand the matrix of weights is gone through half as often and is the only matrix kept.
//   … batch axes, G groups of queries, Q queries and K keys of a group, S keys that all groups share,
//   d width of a head

import { withGradient } from '../engine/ops/gradient.ts';
import { checkpointed } from '../engine/ops/recompute.ts';
import { type Tensor, tf } from '../engine/tfjs/tf.ts';

/** What queries attend to. */
export interface KeyedValues {
  readonly keys: Tensor;
  readonly values: Tensor;
}

export interface AttendOptions {
  /** Added to the scores of a group's own keys, [Q, K] or [G, Q, K]. */
  readonly mask?: Tensor | undefined;
  /** Keys and values that every group attends to besides its own: […, S, d], without the groups' axis. */
  readonly shared?: KeyedValues | undefined;
  /** The softmax is of this times the scores: the queries were divided by it, so that their products stay small. */
  readonly sharpness?: number | undefined;
  /** Where activations are computed again: keep the weights and the mean all the same. */
  readonly keeps?: boolean;
}

/**
 * softmax(q kᵀ + mask) v. The queries are scaled already.
 * @param queries […, G, Q, d], or […, Q, d] where nothing is shared
 * @param own each group's keys and values, […, G, K, d]
 */
export function attend(queries: Tensor, own: KeyedValues, options: AttendOptions = {}): Tensor {
  const { mask, shared, sharpness = 1, keeps = false } = options;
  const perhapsKept = keeps ? checkpointed : (make: () => Tensor): Tensor => make();
  const inputs = [queries, own.keys, own.values, ...(shared ? [shared.keys, shared.values] : [])];
  return withGradient(
    (save, ...tensors) => {
      const [q, k, v, sharedK, sharedV] = tensors as [Tensor, Tensor, Tensor, Tensor?, Tensor?];
      const weigh = (): Tensor => {
        const scores = times(q, k, false, true);
        const ownScores = mask ? tf.add(scores, mask) : scores;
        const allScores = sharedK
          ? tf.concat([ofGroups(times(flat(q), sharedK, false, true), q), ownScores], -1)
          : ownScores;
        return tf.softmax(sharpness === 1 ? allScores : sharpened(allScores, sharpness));
      };
      const weights = perhapsKept(weigh);
      const value = perhapsKept(() => {
        const [sharedWeights, ownWeights] = parts(weights, sharedK);
        const mean = times(ownWeights, v);
        return sharedWeights && sharedV
          ? tf.add(mean, ofGroups(times(flat(sharedWeights), sharedV), q))
          : mean;
      });
      save([q, k, v, value, weights, ...(sharedK && sharedV ? [sharedK, sharedV] : [])]);
      return { value, gradFunc: (dy, saved) => gradients(dy, saved, sharpness) };
    },
    ...inputs,
  );
}

/** The gradients of queries, keys and values, and of the shared keys and values. */
function gradients(dy: Tensor, saved: Tensor[], sharpness: number): Tensor[] {
  const [q, k, v, value, weights, sharedK, sharedV] = saved as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    ...Tensor[],
  ];
  // Σ over keys of weight · its gradient, which is the same as this sum over d.
  const mean = tf.sum(tf.mul(dy, value), -1, true);
  const [sharedWeights, ownWeights] = parts(weights, sharedK);
  const ofScores = (w: Tensor, ofWeights: Tensor): Tensor => {
    const gradient = tf.mul(w, tf.sub(ofWeights, mean));
    return sharpness === 1 ? gradient : tf.mul(gradient, sharpness);
  };
  const dScores = ofScores(ownWeights, times(dy, v, false, true));
  const dq = times(dScores, k);
  const dOwn = [times(dScores, q, true), times(ownWeights, dy, true)];
  if (!sharedWeights || !sharedK || !sharedV) return [dq, ...dOwn];
  const dShared = flat(ofScores(sharedWeights, ofGroups(times(flat(dy), sharedV, false, true), dy)));
  return [
    tf.add(dq, ofGroups(times(dShared, sharedK), q)),
    ...dOwn,
    times(dShared, flat(q), true),
    times(flat(sharedWeights), flat(dy), true),
  ];
}

const times = (a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor =>
  tf.matMul(a, b, transposeA, transposeB);

/** The weights of shared keys, where there are any, and of a group's own. */
function parts(weights: Tensor, sharedK: Tensor | undefined): [shared: Tensor | undefined, own: Tensor] {
  if (!sharedK) return [undefined, weights];
  const shared = sharedK.shape.at(-2) as number;
  const all = weights.shape.at(-1) as number;
  return tf.split(weights, [shared, all - shared], -1) as [Tensor, Tensor];
}

/** Scores minus their greatest, then sharpened. */
const sharpened = (scores: Tensor, sharpness: number): Tensor =>
  tf.mul(tf.sub(scores, tf.max(scores, -1, true)), sharpness);

/** The groups' axis joined with that of queries: […, G, Q, n] → […, G · Q, n]. */
function flat(x: Tensor): Tensor {
  const [groups, queries, n] = x.shape.slice(-3) as [number, number, number];
  return tf.reshape(x, [...x.shape.slice(0, -3), groups * queries, n]);
}

/** […, G · Q, n] → […, G, Q, n], with the groups of `like`. */
const ofGroups = (x: Tensor, like: Tensor): Tensor =>
  tf.reshape(x, [...like.shape.slice(0, -1), x.shape.at(-1) as number]);
