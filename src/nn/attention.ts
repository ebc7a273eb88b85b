// Multi-head attention, over a whole stream and one position at a time with cached keys and values.
//   B batch, N positions, D width, H heads, d width of a head, Q queries, K keys

import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../engine/tf.ts';
import { linear, linearSpec } from './linear.ts';
import type { Parameters } from './parameters.ts';

/** Added to the scores of pairs that do not attend; its exponential is 0. */
const MASKED = -1e9;

/** Keys and values of one layer. */
export interface KeyValues {
  readonly keys_BHNd: Tensor4D;
  readonly values_BHNd: Tensor4D;
}

/** One product for queries, keys and values; the output projection starts with `outputStddev`. */
export const attentionSpec = (width: number, stddev: number, outputStddev: number) => ({
  qkv: linearSpec(width, 3 * width, stddev),
  output: linearSpec(width, width, outputStddev),
});
export type AttentionParameters = Parameters<ReturnType<typeof attentionSpec>>;

/** 0 where `mask` is 1 and −1e9 elsewhere, to be added to the scores. */
export function additiveMask(mask: Uint8Array, queries: number): Tensor2D {
  const bias = Float32Array.from(mask, (attends) => (attends === 1 ? 0 : MASKED));
  return tf.tensor2d(bias, [queries, mask.length / queries]);
}

/** Queries, scaled by 1/√d, keys and values of x_BND, each BHNd. */
function project(p: AttentionParameters, x_BND: Tensor3D, heads: number) {
  const [batch, positions, width] = x_BND.shape;
  const qkv = tf.split(linear(p.qkv, tf.reshape(x_BND, [batch * positions, width])), 3, 1);
  const [queries, keys_BHNd, values_BHNd] = qkv.map((part) =>
    tf.transpose(tf.reshape(part, [batch, positions, heads, width / heads]), [0, 2, 1, 3]),
  ) as [Tensor4D, Tensor4D, Tensor4D];
  return { queries_BHNd: tf.mul(queries, 1 / Math.sqrt(width / heads)), keys_BHNd, values_BHNd };
}

/** Heads side by side again, through the output projection. */
function merge(p: AttentionParameters, x_BHNd: Tensor4D): Tensor3D {
  const [batch, heads, positions, headWidth] = x_BHNd.shape;
  const x_ND = tf.reshape(tf.transpose(x_BHNd, [0, 2, 1, 3]), [batch * positions, heads * headWidth]);
  return tf.reshape(linear(p.output, x_ND), [batch, positions, heads * headWidth]);
}

/** Self-attention under `mask_NN`; also the keys and values, for the cache. */
export function attention(
  p: AttentionParameters,
  x_BND: Tensor3D,
  heads: number,
  mask_NN: Tensor2D,
): KeyValues & { x_BND: Tensor3D } {
  const { queries_BHNd, keys_BHNd, values_BHNd } = project(p, x_BND, heads);
  const scores_BHNN = tf.add(tf.matMul(queries_BHNd, keys_BHNd, false, true), mask_NN);
  const attended_BHNd = tf.matMul(tf.softmax(scores_BHNN), values_BHNd);
  return { x_BND: merge(p, attended_BHNd as Tensor4D), keys_BHNd, values_BHNd };
}

/**
 * Attention of one new position to the cached ones and to itself. `mask_1N` says which rows of the cache it attends
 * to; the row that will hold the new position must be masked, since the cache does not hold it yet.
 * The keys and values returned are that row, [B, H, 1, d].
 */
export function attentionStep(
  p: AttentionParameters,
  x_BD: Tensor2D,
  heads: number,
  cache: KeyValues,
  mask_1N: Tensor2D,
): KeyValues & { x_BD: Tensor2D } {
  const [batch, width] = x_BD.shape;
  const { queries_BHNd, keys_BHNd, values_BHNd } = project(p, tf.reshape(x_BD, [batch, 1, width]), heads);
  const cached = tf.add(tf.matMul(queries_BHNd, cache.keys_BHNd, false, true), mask_1N);
  const own = tf.sum(tf.mul(queries_BHNd, keys_BHNd), -1, true);
  const weights = tf.softmax(tf.concat([cached, own], -1));
  const [past, self] = tf.split(weights, [cache.keys_BHNd.shape[2], 1], 3) as [Tensor, Tensor];
  const attended_BHNd = tf.add(tf.matMul(past, cache.values_BHNd), tf.mul(self, values_BHNd));
  const x_BND = merge(p, attended_BHNd as Tensor4D);
  return { x_BD: tf.reshape(x_BND, [batch, width]), keys_BHNd, values_BHNd };
}
