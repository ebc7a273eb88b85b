// Transformer blocks of encoders: all positions are there at once, nothing is cached, and the mask, where there is
// one, may differ from example to example. The published CLIP's block, and the one of lucidrains' DALLE-pytorch.
//   B batch, N positions, D width, H heads, d width of a head, A = H · d

import { gelu } from '../engine/ops.ts';
import { type Tensor, type Tensor3D, type Tensor4D, tf } from '../engine/tf.ts';
import { layerNorm, layerNormSpec } from './layer-norm.ts';
import { linear, linearSpec } from './linear.ts';
import { constant, normal, type Parameters } from './parameters.ts';

const EXPANSION = 4;
/** Width of a head in DALLE-pytorch, whatever the width of the stream. */
const LUCID_HEAD = 64;

/** Standard deviations of the published text tower's weights at the start (openai/CLIP, initialize_parameters). */
function deviations(width: number, layers: number) {
  return {
    attention: width ** -0.5,
    residual: width ** -0.5 * (2 * layers) ** -0.5,
    expand: (2 * width) ** -0.5,
  };
}

/** Pre-LayerNorm attention and feed-forward, four times as wide (CLIP; GPT-2's block). */
export function encoderBlockSpec(width: number, layers: number) {
  const stddev = deviations(width, layers);
  return {
    attention_norm: layerNormSpec(width),
    attention: {
      qkv: linearSpec(width, 3 * width, stddev.attention),
      output: linearSpec(width, width, stddev.residual),
    },
    feed_forward_norm: layerNormSpec(width),
    feed_forward: {
      expand: linearSpec(width, EXPANSION * width, stddev.expand),
      contract: linearSpec(EXPANSION * width, width, stddev.residual),
    },
  };
}
export type EncoderBlockParameters = Parameters<ReturnType<typeof encoderBlockSpec>>;

/**
 * DALLE-pytorch's block number `index` from 1: no biases in the attention's input, gated GELU, and LayerScale
 * (arXiv 2103.17239) on both updates.
 */
export function lucidBlockSpec(width: number, heads: number, layers: number, index: number) {
  const stddev = deviations(width, layers);
  const scale = index <= 18 ? 0.1 : index <= 24 ? 1e-5 : 1e-6;
  const attended = heads * LUCID_HEAD;
  return {
    attention_norm: layerNormSpec(width),
    attention: {
      qkv: { weight: normal([width, 3 * attended], stddev.attention) },
      output: linearSpec(attended, width, attended ** -0.5),
    },
    attention_scale: constant([width], scale),
    feed_forward_norm: layerNormSpec(width),
    feed_forward: {
      expand: linearSpec(width, 2 * EXPANSION * width, stddev.expand),
      contract: linearSpec(EXPANSION * width, width, (EXPANSION * width) ** -0.5),
    },
    feed_forward_scale: constant([width], scale),
  };
}
export type LucidBlockParameters = Parameters<ReturnType<typeof lucidBlockSpec>>;

/** x · σ(1.702 x). */
export const quickGelu = (x: Tensor): Tensor => tf.mul(x, tf.sigmoid(tf.mul(x, 1.702)));

/** softmax(q kᵀ / √d + mask) v of each head. @param qkv_BND3 queries, keys and values side by side, [B, N, 3A] */
function attend(qkv: Tensor, heads: number, mask?: Tensor): Tensor {
  const [batch, positions, width] = qkv.shape as [number, number, number];
  const attended = width / 3;
  const split = tf.transpose(
    tf.reshape(qkv, [batch, positions, 3, heads, attended / heads]),
    [2, 0, 3, 1, 4],
  );
  const [queries, keys, values] = tf.unstack(split) as [Tensor4D, Tensor4D, Tensor4D];
  const scores = tf.matMul(tf.mul(queries, (attended / heads) ** -0.5), keys, false, true);
  const weights = tf.softmax(mask ? tf.add(scores, mask) : scores);
  const merged = tf.transpose(tf.matMul(weights, values), [0, 2, 1, 3]);
  return tf.reshape(merged, [batch, positions, attended]);
}

/** @param mask added to the scores, broadcast to [B, H, N, N] */
export function encoderBlock(
  p: EncoderBlockParameters,
  x_BND: Tensor3D,
  heads: number,
  activation: (x: Tensor) => Tensor,
  mask?: Tensor,
): Tensor3D {
  const qkv = linear(p.attention.qkv, layerNorm(p.attention_norm, x_BND));
  const h = tf.add(x_BND, linear(p.attention.output, attend(qkv, heads, mask)));
  const hidden = activation(linear(p.feed_forward.expand, layerNorm(p.feed_forward_norm, h)));
  return tf.add(h, linear(p.feed_forward.contract, hidden));
}

/** The same of DALLE-pytorch's block. */
export function lucidBlock(p: LucidBlockParameters, x_BND: Tensor3D, heads: number, mask?: Tensor): Tensor3D {
  const qkv = matrix(p.attention.qkv.weight, layerNorm(p.attention_norm, x_BND));
  const attended = linear(p.attention.output, attend(qkv, heads, mask));
  const h = tf.add(x_BND, tf.mul(attended, p.attention_scale));
  const [value, gate] = tf.split(linear(p.feed_forward.expand, layerNorm(p.feed_forward_norm, h)), 2, -1) as [
    Tensor,
    Tensor,
  ];
  const update = linear(p.feed_forward.contract, tf.mul(value, gelu(gate)));
  return tf.add(h, tf.mul(update, p.feed_forward_scale));
}

/** x_…I W → [..., O], without a bias. */
export function matrix(weight_IO: Tensor, x: Tensor): Tensor {
  const [inputs, outputs] = weight_IO.shape as [number, number];
  return tf.reshape(tf.matMul(tf.reshape(x, [-1, inputs]), weight_IO), [...x.shape.slice(0, -1), outputs]);
}
