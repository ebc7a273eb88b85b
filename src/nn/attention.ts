// Multi-head attention, over a whole stream and one position at a time with cached keys and values.
//   B batch, N positions, D width, H heads, d width of a head, W cached rows that count

import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../engine/tf.ts';
import { type AttentionPattern, attendStream, type Heads } from './attention-pattern.ts';
import { linear, linearSpec } from './linear.ts';
import type { Parameters } from './parameters.ts';
import { type Rotation, rotate } from './rotary.ts';

/** Keys and values of one layer. */
export interface KeyValues {
  readonly keys_BHNd: Tensor4D;
  readonly values_BHNd: Tensor4D;
}

export interface HeadOptions {
  readonly heads: number;
  /** Rotary positions of what is projected. */
  readonly rotation?: Rotation | undefined;
  /** See `attend`: keeps products of large queries and keys small. */
  readonly sharpness?: number | undefined;
}

/**
 * One product for queries, keys and values, `inner` channels each; the output projection starts with `outputStddev`.
 */
export const attentionSpec = (width: number, inner: number, stddev: number, outputStddev: number) => ({
  qkv: linearSpec(width, 3 * inner, stddev),
  output: linearSpec(inner, width, outputStddev),
});
export type AttentionParameters = Parameters<ReturnType<typeof attentionSpec>>;

/** Queries, scaled by 1/√d and the sharpness, keys and values of what `p.qkv` makes, side by side: [B, N, 3 · H · d]. */
export function splitHeads(qkv: Tensor, { heads, rotation, sharpness = 1 }: HeadOptions): Heads {
  const [batch, positions, channels] = qkv.shape as [number, number, number];
  const d = channels / (3 * heads);
  const split = tf.transpose(tf.reshape(qkv, [batch, positions, 3, heads, d]), [2, 0, 3, 1, 4]);
  const parts = tf.unstack(split) as [Tensor4D, Tensor4D, Tensor4D];
  const [queries, keys_BHNd, values_BHNd] = rotation
    ? (parts.map((part) => rotate(part, rotation)) as typeof parts)
    : parts;
  return { queries_BHNd: tf.mul(queries, 1 / (Math.sqrt(d) * sharpness)), keys_BHNd, values_BHNd };
}

/** Heads side by side again, through the output projection. */
function merge(output: AttentionParameters['output'], x_BHNd: Tensor4D): Tensor3D {
  const [batch, heads, positions, headWidth] = x_BHNd.shape;
  const x_BNE = tf.reshape(tf.transpose(x_BHNd, [0, 2, 1, 3]), [batch, positions, heads * headWidth]);
  return linear(output, x_BNE) as Tensor3D;
}

/** Self-attention from what `p.qkv` makes (see `splitHeads`), through the output projection `output`. */
export function attention(
  output: AttentionParameters['output'],
  qkv: Tensor,
  options: HeadOptions,
  pattern: AttentionPattern,
): Tensor3D {
  return merge(output, attendStream(splitHeads(qkv, options), pattern, options.sharpness));
}

/** The rows of a cache that a new position attends to, besides itself. */
export interface CachedRows {
  /** Their places in the cache, int32; all of its rows where there are none. */
  readonly rows_W: Tensor | undefined;
  /** 0 where a row counts and far below elsewhere. */
  readonly mask_1W: Tensor2D;
}

/**
 * Attention of one new position to cached ones and to itself. The row that will hold the new position must be masked
 * or left out, since the cache does not hold it yet. The keys and values returned are that row, [B, H, 1, d].
 */
export function attentionStep(
  p: AttentionParameters,
  x_BD: Tensor2D,
  options: HeadOptions,
  cache: KeyValues,
  { rows_W, mask_1W }: CachedRows,
): KeyValues & { x_BD: Tensor2D } {
  const [batch, width] = x_BD.shape;
  const { queries_BHNd, keys_BHNd, values_BHNd } = splitHeads(
    linear(p.qkv, tf.reshape(x_BD, [batch, 1, width])),
    options,
  );
  const pick = (all: Tensor4D): Tensor => (rows_W ? tf.gather(all, rows_W as never, 2) : all);
  const cached = tf.add(tf.matMul(queries_BHNd, pick(cache.keys_BHNd), false, true), mask_1W);
  const own = tf.sum(tf.mul(queries_BHNd, keys_BHNd), -1, true);
  const scores = tf.concat([cached, own], -1);
  const { sharpness = 1 } = options;
  const weights = tf.softmax(sharpness === 1 ? scores : tf.mul(scores, sharpness));
  const [past, self] = tf.split(weights, [mask_1W.shape[1], 1], 3) as [Tensor, Tensor];
  const attended_BHNd = tf.add(tf.matMul(past, pick(cache.values_BHNd)), tf.mul(self, values_BHNd));
  const x_BND = merge(p.output, attended_BHNd as Tensor4D);
  return { x_BD: tf.reshape(x_BND, [batch, width]), keys_BHNd, values_BHNd };
}
