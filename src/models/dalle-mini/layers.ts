// The layers of DALL·E mini (dalle_mini/model/modeling.py, ln_positions "normformer"; min_dalle/models): attention and a
// GLU, each with a norm before it and another one inside. The sums with the residual stream are the model's.
//   B batch, N positions, Q queries, K keys, D width of the stream, A heads, d width of a head

import { type Tensor, type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { gelu } from '../../nn/functional/gelu.ts';
import { layerNorm, layerNormSpec } from '../../nn/layer-norm.ts';
import { linear } from '../../nn/linear.ts';
import { normal, type Parameters } from '../../nn/parameters.ts';

const STDDEV = 0.02;
const projection = (inputs: number, outputs: number) => ({ weight: normal([inputs, outputs], STDDEV) });

export const attentionSpec = (width: number) => ({
  norm: layerNormSpec(width),
  query: projection(width, width),
  key: projection(width, width),
  value: projection(width, width),
  output: projection(width, width),
  /** Before the update is added. */
  end_norm: layerNormSpec(width),
});
export type AttentionParameters = Parameters<ReturnType<typeof attentionSpec>>;

export const gluSpec = (width: number, hidden: number) => ({
  norm: layerNormSpec(width),
  gate: projection(width, hidden),
  value: projection(width, hidden),
  hidden_norm: layerNormSpec(hidden),
  output: projection(hidden, width),
});
export type GluParameters = Parameters<ReturnType<typeof gluSpec>>;

export interface KeyValues {
  readonly keys_BAKd: Tensor4D;
  readonly values_BAKd: Tensor4D;
}

/** [B, N, D] → [B, A, N, d]. */
export function splitHeads(x_BND: Tensor3D, heads: number): Tensor4D {
  const [batch, positions, width] = x_BND.shape;
  return tf.transpose(tf.reshape(x_BND, [batch, positions, heads, width / heads]), [0, 2, 1, 3]);
}

/** Keys and values of a sequence. @param input normalized where it is the stream's own */
export const keyValues = (p: AttentionParameters, input: Tensor3D, heads: number): KeyValues => ({
  keys_BAKd: splitHeads(linear(p.key, input) as Tensor3D, heads),
  values_BAKd: splitHeads(linear(p.value, input) as Tensor3D, heads),
});

/**
 * The update of the stream by attention.
 * @param input_BND the normalized stream
 * @param mask added to the scores, broadcast to [B, A, N, K]
 */
export function attentionUpdate(
  p: AttentionParameters,
  input_BND: Tensor3D,
  { keys_BAKd, values_BAKd }: KeyValues,
  mask: Tensor,
): Tensor3D {
  const heads = keys_BAKd.shape[1];
  const queries_BANd = splitHeads(linear(p.query, input_BND) as Tensor3D, heads);
  const scaled = tf.mul(queries_BANd, queries_BANd.shape[3] ** -0.5);
  const weights = tf.softmax(tf.add(tf.matMul(scaled, keys_BAKd, false, true), mask));
  const mixed_BNAd = tf.transpose(tf.matMul(weights, values_BAKd), [0, 2, 1, 3]);
  return endOfAttention(p, tf.reshape(mixed_BNAd, input_BND.shape)) as Tensor3D;
}

/** The output projection and the second norm. @param mixed the heads side by side, [..., D] */
export const endOfAttention = (p: AttentionParameters, mixed: Tensor): Tensor =>
  layerNorm(p.end_norm, linear(p.output, mixed));

/** The update by the GLU: GELU(x W) ⊙ x V, normalized, times U; [..., D] → [..., D]. */
export function glu<T extends Tensor>(p: GluParameters, x: T): T {
  const input = layerNorm(p.norm, x);
  const hidden = gelu.gated(linear(p.value, input), linear(p.gate, input));
  return linear(p.output, layerNorm(p.hidden_norm, hidden)) as T;
}
