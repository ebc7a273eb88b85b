// Multi-head attention, over a whole stream and one position at a time with cached keys and values.
//   B batch, N positions, D width, H heads, d width of a head, W cached rows that count

import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../engine/tfjs/tf.ts';
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
  const parts = headsOf(qkv, [batch, positions, 3, heads, d]);
  const [queries, keys_BHNd, values_BHNd] = rotation
    ? (parts.map((part) => rotate(part, rotation)) as typeof parts)
    : parts;
  return { queries_BHNd: tf.mul(queries, 1 / (Math.sqrt(d) * sharpness)), keys_BHNd, values_BHNd };
}

/** [B, N, 3, H, d] → [B, H, N, d] three times. */
function headsOf(
  qkv: Tensor,
  shape: [number, number, number, number, number],
): [Tensor4D, Tensor4D, Tensor4D] {
  const [batch, positions, , heads, d] = shape;
  // A single position's heads need no transposing.
  if (positions === 1)
    return tf.split(tf.reshape(qkv, [batch, 3 * heads, 1, d]), 3, 1) as [Tensor4D, Tensor4D, Tensor4D];
  return tf.unstack(tf.transpose(tf.reshape(qkv, shape), [2, 0, 3, 1, 4])) as [Tensor4D, Tensor4D, Tensor4D];
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

/** What a layer keeps of earlier positions, for a new one. */
export interface LayerCacheView<Part extends string> {
  /** Keys and values before all that is kept, which every new position attends to. */
  readonly prefix?: KeyValues | undefined;
  /** Keeps the new position's row of a part, [B, …, 1, …], and gives all that is kept of it, [B, …, N, …]. */
  append(part: Part, row: Tensor4D): Tensor4D;
}

/** The rows of what is kept that a new position attends to, itself included. */
export interface AttendedRows {
  /** Their places, int32; all rows where there are none. */
  readonly rows_W: Tensor | undefined;
  /** 0 where a row counts and far below elsewhere. */
  readonly mask_1W: Tensor2D;
}

/**
 * Attention of one new position to the prefix, to what is kept and to itself. The softmax is made of ops that give a
 * row the same bits whatever the other rows are, as long as the number of weights is a multiple of 16.
 */
export function attentionStep(
  p: AttentionParameters,
  x_BD: Tensor2D,
  options: HeadOptions,
  memory: LayerCacheView<keyof KeyValues>,
  { rows_W, mask_1W }: AttendedRows,
): Tensor2D {
  const [batch] = x_BD.shape;
  const { prefix } = memory;
  const qkv_BNE = tf.expandDims(linear(p.qkv, x_BD), 1);
  const { queries_BHNd: q, ...row } = splitHeads(qkv_BNE, options);
  const kept = (part: keyof KeyValues): Tensor => {
    const all = memory.append(part, row[part]);
    return rows_W ? tf.gather(all, rows_W as never, 2) : all;
  };
  const own = { keys: kept('keys_BHNd'), values: kept('values_BHNd') };
  const ownScores = tf.add(tf.matMul(q, own.keys, false, true), mask_1W);
  const scores = prefix ? tf.concat([tf.matMul(q, prefix.keys_BHNd, false, true), ownScores], -1) : ownScores;
  const below = tf.sub(scores, tf.max(scores, -1, true));
  const { sharpness = 1 } = options;
  const weights: Tensor = tf.exp(sharpness === 1 ? below : tf.mul(below, sharpness));
  const sum = prefix
    ? weightedSum(weights, [prefix.values_BHNd, own.values])
    : tf.matMul(weights, own.values);
  const mean_BHNd = tf.div(sum, tf.sum(weights, -1, true)) as Tensor4D;
  // One position's heads stand side by side already.
  return linear(p.output, tf.reshape(mean_BHNd, [batch, -1])) as Tensor2D;
}

/** Of values in two parts. */
function weightedSum(weights: Tensor, values: readonly [Tensor, Tensor]): Tensor {
  const lengths = values.map(({ shape }) => shape[2] as number);
  const [first, second] = tf.split(weights, lengths, 3) as [Tensor, Tensor];
  return tf.add(tf.matMul(first, values[0]), tf.matMul(second, values[1]));
}
