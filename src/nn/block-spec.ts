// The parameters of a pre-LayerNorm Transformer block (transformer.ts).
//   D width of the stream

import { attentionSpec } from './attention.ts';
import { type LayerNormSpec, layerNormSpec } from './layer-norm.ts';
import { linearSpec } from './linear.ts';
import { constant, type ParameterSpec, type Parameters } from './parameters.ts';

/** Width of the feed-forward layer, in widths of the stream. */
export const EXPANSION = 4;

export interface BlockShape {
  /** D */
  readonly width: number;
  /** heads × width of a head; D by default */
  readonly inner?: number;
  /** Whether queries, keys and values have biases; they do by default. */
  readonly attentionBias?: boolean;
  /** Hidden channels of the feed-forward layer; EXPANSION · D by default. */
  readonly hidden?: number;
  /** Layers of the stack. */
  readonly layers: number;
  readonly stddev: number;
  /** Initial stddev of the feed-forward layer's first projection; `stddev` by default. */
  readonly expandStddev?: number;
  /** GELU gates other channels (arXiv 2002.05202), which doubles the first projection. */
  readonly gated?: boolean;
  /** A second LayerNorm at the end of each branch (arXiv 2105.13290). */
  readonly sandwich?: boolean;
  /** Initial value of learned channel scales at the end of each branch (arXiv 2103.17239); none when undefined. */
  readonly layerScale?: number | undefined;
}

const feedForwardSpec = (
  { width, hidden = EXPANSION * width, gated = false, stddev, expandStddev = stddev }: BlockShape,
  residualStddev: number,
) => ({
  expand: linearSpec(width, (gated ? 2 : 1) * hidden, expandStddev),
  contract: linearSpec(hidden, width, residualStddev),
});

/** Parts that a configuration does not have are undefined. */
export type BlockSpec = {
  readonly attention_norm: LayerNormSpec;
  readonly attention: ReturnType<typeof attentionSpec>;
  readonly attention_end_norm: LayerNormSpec | undefined;
  readonly attention_scale: ParameterSpec | undefined;
  readonly feed_forward_norm: LayerNormSpec;
  readonly feed_forward: ReturnType<typeof feedForwardSpec>;
  readonly feed_forward_end_norm: LayerNormSpec | undefined;
  readonly feed_forward_scale: ParameterSpec | undefined;
};
export type BlockParameters = Parameters<BlockSpec>;

/**
 * Projections into the residual stream start smaller, by 1/√(2 · layers), so that its variance does not grow with
 * depth.
 */
export function blockSpec(shape: BlockShape): BlockSpec {
  const { width, inner = width, layers, stddev, sandwich, layerScale, attentionBias } = shape;
  const residualStddev = stddev / Math.sqrt(2 * layers);
  const endNorm = sandwich ? layerNormSpec(width) : undefined;
  const scale = layerScale === undefined ? undefined : constant([width], layerScale);
  return {
    attention_norm: layerNormSpec(width),
    attention: attentionSpec(width, inner, stddev, residualStddev, attentionBias),
    attention_end_norm: endNorm,
    attention_scale: scale,
    feed_forward_norm: layerNormSpec(width),
    feed_forward: feedForwardSpec(shape, residualStddev),
    feed_forward_end_norm: endNorm,
    feed_forward_scale: scale,
  };
}
