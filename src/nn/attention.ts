// Multi-head attention, over a whole stream and one position at a time with cached keys and values.
//   B batch, N positions, D width of the stream, A heads, d width of a head, C = A · d channels, P positions of the
//   prefix, K cached positions attended to

import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../engine/tfjs/tf.ts';
import { attend } from './attend.ts';
import { type AttentionPattern, attendStream, type Heads } from './attention-pattern.ts';
import { linear, linearSpec } from './linear.ts';
import type { Parameters } from './parameters.ts';
import { type Rotation, rotate } from './rotary.ts';

/** Keys and values of one layer. */
export interface KeyValues {
  readonly keys_BANd: Tensor4D;
  readonly values_BANd: Tensor4D;
}

export interface HeadOptions {
  readonly heads: number;
  /** Rotary positions of the projected queries, keys and values. */
  readonly rotation?: Rotation | undefined;
  /** See `AttendOptions`. */
  readonly sharpness?: number | undefined;
}

/**
 * One projection for queries, keys and values, `inner` channels each, and the output projection.
 * @param outputStddev initial standard deviation of the output projection
 * @param bias whether queries, keys and values have biases
 */
export const attentionSpec = (
  width: number,
  inner: number,
  stddev: number,
  outputStddev: number,
  bias = true,
) => ({
  qkv: bias
    ? linearSpec(width, 3 * inner, stddev)
    : { ...linearSpec(width, 3 * inner, stddev), bias: undefined },
  output: linearSpec(inner, width, outputStddev),
});
export type AttentionParameters = Parameters<ReturnType<typeof attentionSpec>>;

/**
 * Splits the output of `p.qkv` into heads; queries are scaled by 1 / (√d · sharpness).
 * @param qkv queries, keys and values side by side, [B, N, 3C]
 */
export function splitHeads(qkv: Tensor, { heads, rotation, sharpness = 1 }: HeadOptions): Heads {
  const [batch, positions, channels] = qkv.shape as [number, number, number];
  const d = channels / (3 * heads);
  const parts = headsOf(qkv, [batch, positions, 3, heads, d]);
  const [queries, keys_BANd, values_BANd] = rotation
    ? (parts.map((part) => rotate(part, rotation)) as typeof parts)
    : parts;
  return { queries_BANd: tf.mul(queries, 1 / (Math.sqrt(d) * sharpness)), keys_BANd, values_BANd };
}

/** [B, N, 3, A, d] → [B, A, N, d] three times. */
function headsOf(
  qkv: Tensor,
  shape: [number, number, number, number, number],
): [Tensor4D, Tensor4D, Tensor4D] {
  const [batch, positions, , heads, d] = shape;
  // The heads of a single position need no transpose.
  if (positions === 1)
    return tf.split(tf.reshape(qkv, [batch, 3 * heads, 1, d]), 3, 1) as [Tensor4D, Tensor4D, Tensor4D];
  return tf.unstack(tf.transpose(tf.reshape(qkv, shape), [2, 0, 3, 1, 4])) as [Tensor4D, Tensor4D, Tensor4D];
}

/** Joins the heads and applies the output projection: [B, N, D]. */
function mergeHeads(output: AttentionParameters['output'], x_BANd: Tensor4D): Tensor3D {
  const [batch, heads, positions, headWidth] = x_BANd.shape;
  const x_BNC = tf.reshape(tf.transpose(x_BANd, [0, 2, 1, 3]), [batch, positions, heads * headWidth]);
  return linear(output, x_BNC) as Tensor3D;
}

/**
 * Multi-head self-attention with its output projection.
 * @param qkv output of `p.qkv`, see `splitHeads`
 * @returns [B, N, D]
 */
export function attention(
  output: AttentionParameters['output'],
  qkv: Tensor,
  options: HeadOptions,
  pattern: AttentionPattern,
): Tensor3D {
  return mergeHeads(output, attendStream(splitHeads(qkv, options), pattern, options.sharpness));
}

/** One position of a stream, which may differ from row to row: [B, N, C] → [B, 1, C]. */
export type Position = (x_BNC: Tensor3D) => Tensor3D;

/**
 * `attention` of one position, to all of them: [B, 1, D].
 * @param mask_B11N added to its scores
 */
export function attentionAt(
  position: Position,
  output: AttentionParameters['output'],
  qkv: Tensor3D,
  options: Omit<HeadOptions, 'rotation'>,
  mask_B11N?: Tensor,
): Tensor3D {
  const { queries_BANd } = splitHeads(position(qkv), options);
  const { keys_BANd: keys, values_BANd: values } = splitHeads(qkv, options);
  const { sharpness } = options;
  return mergeHeads(
    output,
    attend(queries_BANd, { keys, values }, { mask: mask_B11N, sharpness }) as Tensor4D,
  );
}

/** The KV cache of a layer, as a new position sees it. */
export interface LayerCacheView<Part extends string> {
  /** Keys and values before the cached ones, which every new position attends to. */
  readonly prefix?: KeyValues | undefined;
  /** Caches the new position's row of a part, [B, …, 1, …]; returns all that is cached of the part, [B, …, N, …]. */
  append(part: Part, row: Tensor4D): Tensor4D;
}

/** The cached positions that a new position attends to, itself included. */
export interface AttendedRows {
  /** Their indices, int32; all positions when undefined. */
  readonly rows_K: Tensor | undefined;
  /** See `additiveMask`. */
  readonly mask_1K: Tensor2D;
}

/**
 * Attention of one new position to the prefix, to cached positions and to itself, with its output projection. The
 * softmax is composed of ops that round a row independently of the other rows, as long as P + K is a multiple of 16.
 * @param x_BD normalized input of the attention
 * @returns [B, D]
 */
export function attentionStep(
  p: AttentionParameters,
  x_BD: Tensor2D,
  options: HeadOptions,
  cache: LayerCacheView<keyof KeyValues>,
  { rows_K, mask_1K }: AttendedRows,
): Tensor2D {
  const [batch] = x_BD.shape;
  const { prefix } = cache;
  const qkv_B1C = tf.expandDims(linear(p.qkv, x_BD), 1);
  const { queries_BANd: q_BA1d, ...row } = splitHeads(qkv_B1C, options);
  const attended = (part: keyof KeyValues): Tensor => {
    const all_BANd = cache.append(part, row[part]);
    return rows_K ? tf.gather(all_BANd, rows_K as never, 2) : all_BANd;
  };
  const own = { keys_BAKd: attended('keys_BANd'), values_BAKd: attended('values_BANd') };
  const own_BA1K = tf.add(tf.matMul(q_BA1d, own.keys_BAKd, false, true), mask_1K);
  const scores = prefix
    ? tf.concat([tf.matMul(q_BA1d, prefix.keys_BANd, false, true), own_BA1K], -1)
    : own_BA1K;
  const belowMax = tf.sub(scores, tf.max(scores, -1, true));
  const { sharpness = 1 } = options;
  const weights: Tensor = tf.exp(sharpness === 1 ? belowMax : tf.mul(belowMax, sharpness));
  const sum_BA1d = prefix
    ? weightedSum(weights, [prefix.values_BANd, own.values_BAKd])
    : tf.matMul(weights, own.values_BAKd);
  const mean_BA1d = tf.div(sum_BA1d, tf.sum(weights, -1, true)) as Tensor4D;
  // The heads of one position are side by side already.
  return linear(p.output, tf.reshape(mean_BA1d, [batch, -1])) as Tensor2D;
}

/** Weighted sum of values that are in two parts along the positions. */
function weightedSum(weights: Tensor, values: readonly [Tensor, Tensor]): Tensor {
  const lengths = values.map(({ shape }) => shape[2] as number);
  const [first, second] = tf.split(weights, lengths, 3) as [Tensor, Tensor];
  return tf.add(tf.matMul(first, values[0]), tf.matMul(second, values[1]));
}
