// The blocks of CLIP's towers (nn/transformer.ts): their parameters and activation.
//   B batch, N positions, D width, A heads

import type { ClipImageConfig, ClipModelConfig, ClipTextConfig } from '../../config/clip.ts';
import type { Recompute } from '../../config/fields.ts';
import { inPart } from '../../engine/graph/origin.ts';
import { type Tensor, type Tensor2D, type Tensor3D, tf } from '../../engine/tfjs/tf.ts';
import type { Position } from '../../nn/attention.ts';
import { wholePattern } from '../../nn/attention-pattern.ts';
import { type BlockParameters, type BlockSpec, blockSpec, EXPANSION } from '../../nn/block-spec.ts';
import type { Activation } from '../../nn/functional/activation.ts';
import { gelu, geluTanh, quickGelu } from '../../nn/functional/gelu.ts';
import { layerNormSpec } from '../../nn/layer-norm.ts';
import { layerScaleInit } from '../../nn/layer-scale.ts';
import { linearSpec } from '../../nn/linear.ts';
import { constant, normal, type Parameters } from '../../nn/parameters.ts';
import { residualStream } from '../../nn/residual-stream.ts';
import { blockAt, type StackOptions } from '../../nn/transformer.ts';

export type BlocksSpec = { readonly [block: `block_${number}`]: BlockSpec };

/** Width of a head in DALLE-pytorch's CLIP, whatever the width of the stream. */
const DALLE_PYTORCH_HEAD_WIDTH = 64;

/** Hidden channels of a tower's feed-forward layers. */
export const hiddenWidth = ({ width, mlpRatio }: Pick<ClipTextConfig, 'width' | 'mlpRatio'>): number =>
  Math.round(width * mlpRatio);

/** Pre-LayerNorm block, initialized as the published text tower (openai/CLIP, initialize_parameters). */
export const openaiBlockSpec = ({
  width,
  layers,
  mlpRatio,
  layerScale,
}: Pick<ClipTextConfig, 'width' | 'layers' | 'mlpRatio' | 'layerScale'>): BlockSpec =>
  blockSpec({
    width,
    hidden: hiddenWidth({ width, mlpRatio }),
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

const ACTIVATIONS = { 'quick-gelu': quickGelu, gelu, 'gelu-tanh': geluTanh } as const;

/** The activation of a tower: its own, or the model's. */
export const activationOf = (
  { activation }: Pick<ClipModelConfig, 'activation'>,
  { activation: own }: Pick<ClipImageConfig | ClipTextConfig, 'activation'>,
): Activation => ACTIVATIONS[own ?? activation];

/** Options of a tower's blocks. */
export interface TowerOptions extends StackOptions {
  /** Added to the scores, broadcast to [B, A, N, N]. */
  readonly mask?: Tensor | undefined;
  /** In training. */
  readonly recompute: Recompute | undefined;
}

/** x_BND through the blocks of a tower. */
export const runBlocks = (blocks: Parameters<BlocksSpec>, x_BND: Tensor3D, options: TowerOptions): Tensor3D =>
  runAll(Object.values(blocks), x_BND, options);

function runAll(
  blocks: readonly BlockParameters[],
  x_BND: Tensor3D,
  { mask, recompute = 'light', ...options }: TowerOptions,
): Tensor3D {
  const layer = { ...options, pattern: wholePattern(x_BND.shape[1], mask) };
  const layers = blocks.map(() => layer);
  return residualStream(blocks, x_BND, layers, recompute).x_BND;
}

/**
 * `runBlocks` at one position, the only one that the last block computes: [B, D].
 * @param mask_B11N the mask of that position
 */
export function runBlocksAt(
  position: Position,
  blocks: Parameters<BlocksSpec>,
  x_BND: Tensor3D,
  options: TowerOptions,
  mask_B11N?: Tensor,
): Tensor2D {
  const all = Object.values(blocks);
  const last = all.pop() as BlockParameters;
  const layer = { ...options, keepsActivations: true };
  const input_BND = runAll(all, x_BND, options);
  const y_B1D = inPart(`layer ${all.length + 1}`, () => blockAt(position, last, input_BND, layer, mask_B11N));
  return tf.squeeze(y_B1D, [1]);
}
