// What is particular to the blocks of CLIP's encoders (transformer.ts): how they start, and their activation.

import { type Tensor, tf } from '../engine/tfjs/tf.ts';
import { layerNormSpec } from './layer-norm.ts';
import { linearSpec } from './linear.ts';
import { constant, normal } from './parameters.ts';
import { type BlockSpec, blockSpec } from './transformer.ts';

/** Width of a head in DALLE-pytorch, whatever the width of the stream. */
const LUCID_HEAD = 64;
const EXPANSION = 4;

/** Pre-LayerNorm block with the published text tower's start (openai/CLIP, initialize_parameters). */
export const encoderBlockSpec = (
  width: number,
  layers: number,
  { mlpRatio, layerScale }: { readonly mlpRatio: number; readonly layerScale?: number | undefined },
): BlockSpec =>
  blockSpec({
    width,
    hidden: Math.round(width * mlpRatio),
    layers,
    stddev: width ** -0.5,
    expandStddev: (2 * width) ** -0.5,
    layerScale,
  });

/**
 * DALLE-pytorch's block number `index` from 1: no biases in the attention's input, gated GELU, and LayerScale
 * (arXiv 2103.17239) on both updates.
 */
export function lucidBlockSpec(width: number, heads: number, index: number): BlockSpec {
  const scale = constant([width], index <= 18 ? 0.1 : index <= 24 ? 1e-5 : 1e-6);
  const attended = heads * LUCID_HEAD;
  const hidden = EXPANSION * width;
  return {
    attention_norm: layerNormSpec(width),
    attention: {
      qkv: { weight: normal([width, 3 * attended], width ** -0.5), bias: undefined },
      output: linearSpec(attended, width, attended ** -0.5),
    },
    attention_end_norm: undefined,
    attention_scale: scale,
    feed_forward_norm: layerNormSpec(width),
    feed_forward: {
      expand: linearSpec(width, 2 * hidden, (2 * width) ** -0.5),
      contract: linearSpec(hidden, width, hidden ** -0.5),
    },
    feed_forward_end_norm: undefined,
    feed_forward_scale: scale,
  };
}

/** x · σ(1.702 x). */
export const quickGelu = (x: Tensor): Tensor => tf.mul(x, tf.sigmoid(tf.mul(x, 1.702)));
