// The blocks of CLIP's towers (nn/transformer.ts): their parameters and activation.

import type { ClipTextConfig } from '../../config/clip.ts';
import { type Tensor, tf } from '../../engine/tfjs/tf.ts';
import { type BlockSpec, blockSpec, EXPANSION } from '../../nn/block-spec.ts';
import { layerNormSpec } from '../../nn/layer-norm.ts';
import { layerScaleInit } from '../../nn/layer-scale.ts';
import { linearSpec } from '../../nn/linear.ts';
import { constant, normal } from '../../nn/parameters.ts';

/** Width of a head in DALLE-pytorch's CLIP, whatever the width of the stream. */
const DALLE_PYTORCH_HEAD_WIDTH = 64;

/** Pre-LayerNorm block, initialized as the published text tower (openai/CLIP, initialize_parameters). */
export const openaiBlockSpec = ({
  width,
  layers,
  mlpRatio,
  layerScale,
}: Pick<ClipTextConfig, 'width' | 'layers' | 'mlpRatio' | 'layerScale'>): BlockSpec =>
  blockSpec({
    width,
    hidden: Math.round(width * mlpRatio),
    layers,
    stddev: width ** -0.5,
    expandStddev: (2 * width) ** -0.5,
    layerScale,
  });

/**
 * DALLE-pytorch's block of layer `layer`, counted from 1: no biases of queries, keys and values, gated GELU, and
 * LayerScale on both updates.
 */
export function dallePytorchBlockSpec(width: number, heads: number, layer: number): BlockSpec {
  const scale = constant([width], layerScaleInit(layer));
  const inner = heads * DALLE_PYTORCH_HEAD_WIDTH;
  const hidden = EXPANSION * width;
  return {
    attention_norm: layerNormSpec(width),
    attention: {
      qkv: { weight: normal([width, 3 * inner], width ** -0.5), bias: undefined },
      output: linearSpec(inner, width, inner ** -0.5),
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

/** x · σ(1.702 x), an approximation of GELU. */
export const quickGelu = (x: Tensor): Tensor => tf.mul(x, tf.sigmoid(tf.mul(x, 1.702)));
