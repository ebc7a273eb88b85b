// Layers of a VQGAN: resblocks and attention over the positions of an image, each with group normalization and swish
// (taming/modules/diffusionmodules/model.py, ResnetBlock and AttnBlock).
//   B batch, H height, W width, C channels, N = H · W positions of an image

import { type Tensor, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { attend } from '../../nn/attend.ts';
import { type ConvolutionSpec, convolution, convolutionSpec } from '../../nn/convolution.ts';
import { groupNorm } from '../../nn/group-norm.ts';
import { type LayerNormParameters, type LayerNormSpec, layerNormSpec } from '../../nn/layer-norm.ts';
import { type LinearSpec, linear, linearSpec } from '../../nn/linear.ts';
import type { Parameters } from '../../nn/parameters.ts';

/** Of PyTorch's GroupNorm as taming-transformers has it; PyTorch's own default is 1e-5. */
const EPSILON = 1e-6;

export type ResblockSpec = {
  readonly norm_1: LayerNormSpec;
  readonly conv_1: ConvolutionSpec;
  readonly norm_2: LayerNormSpec;
  readonly conv_2: ConvolutionSpec;
  /** A 1×1 convolution on the identity path, when the channels change. */
  readonly shortcut?: ConvolutionSpec;
};

export type AttentionSpec = {
  readonly norm: LayerNormSpec;
} & Readonly<Record<'query' | 'key' | 'value' | 'output', LinearSpec>>;

export const resblockSpec = (inputs: number, outputs: number): ResblockSpec => ({
  norm_1: layerNormSpec(inputs),
  conv_1: convolutionSpec(inputs, outputs, 3),
  norm_2: layerNormSpec(outputs),
  conv_2: convolutionSpec(outputs, outputs, 3),
  ...(inputs !== outputs && { shortcut: convolutionSpec(inputs, outputs, 1) }),
});

export function attentionSpec(channels: number): AttentionSpec {
  const projection = linearSpec(channels, channels, 1 / Math.sqrt(channels));
  return {
    norm: layerNormSpec(channels),
    query: projection,
    key: projection,
    value: projection,
    output: projection,
  };
}

/** Group normalization of 1e-6. */
export const norm = (p: LayerNormParameters, x_BHWC: Tensor4D, groups: number): Tensor4D =>
  groupNorm(p, x_BHWC, groups, EPSILON);

/** x · sigmoid(x), which PyTorch calls SiLU. */
export const swish = (x: Tensor4D): Tensor4D => tf.mul(x, tf.sigmoid(x));

export function resblock(p: Parameters<ResblockSpec>, x_BHWC: Tensor4D, groups: number): Tensor4D {
  const hidden = convolution(p.conv_1, swish(norm(p.norm_1, x_BHWC, groups)));
  const residual = convolution(p.conv_2, swish(norm(p.norm_2, hidden, groups)));
  return tf.add(p.shortcut ? convolution(p.shortcut, x_BHWC) : x_BHWC, residual);
}

/** Every position attends to all of its image, with one head as wide as the channels. */
export function attention(p: Parameters<AttentionSpec>, x_BHWC: Tensor4D, groups: number): Tensor4D {
  const [batch, height, width, channels] = x_BHWC.shape;
  const h_BNC = tf.reshape(norm(p.norm, x_BHWC, groups), [batch, height * width, channels]);
  const queries: Tensor = tf.mul(linear(p.query, h_BNC), channels ** -0.5);
  const own = { keys: linear(p.key, h_BNC), values: linear(p.value, h_BNC) };
  const y_BNC = linear(p.output, attend(queries, own));
  return tf.add(x_BHWC, tf.reshape(y_BNC, x_BHWC.shape));
}
