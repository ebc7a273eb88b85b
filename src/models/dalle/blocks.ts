// The stack of resblocks as the configuration wants it: which parameters a layer has, which it shares, and what all
// layers are told.

import type { AttentionKind, DalleModelConfig } from '../../config/dalle.ts';
import { type AttentionPattern, attentionPattern } from '../../nn/attention-pattern.ts';
import { type BlockParameters, type BlockSpec, blockSpec, type StackOptions } from '../../nn/transformer.ts';
import { headWidth, layerAttention, streamLayout } from './config.ts';

/** How far a stable softmax keeps its products down (arXiv 2105.13290). */
const SHARPNESS = 32 ** 2;

export type BlockSpecs = Record<`block_${number}`, BlockSpec>;

/** A tree of parameters or specs for each layer. Shared parts stand in the first layer that has them. */
export function blockSpecs(config: DalleModelConfig, stddev: number): BlockSpecs {
  const { layers, width, heads, gated, sandwichNorm } = config;
  const entries = Array.from({ length: layers }, (_, layer) => {
    const whole = blockSpec({
      width,
      inner: heads * headWidth(config),
      layers,
      stddev,
      gated,
      sandwich: sandwichNorm,
      layerScale: config.layerScale ? initialScale(layer + 1) : undefined,
    });
    const { attention, feedForward } = owners(config, layer);
    const own = {
      ...whole,
      attention: attention === layer ? whole.attention : undefined,
      feed_forward: feedForward === layer ? whole.feed_forward : undefined,
    };
    return [`block_${layer + 1}`, own as BlockSpec];
  });
  return Object.fromEntries(entries);
}

/** Every layer's parameters, shared ones in their place. */
export function blockParameters(
  blocks: Readonly<Record<`block_${number}`, BlockParameters>>,
  config: DalleModelConfig,
): BlockParameters[] {
  const at = (layer: number): BlockParameters => blocks[`block_${layer + 1}`] as BlockParameters;
  return Array.from({ length: config.layers }, (_, layer) => {
    const { attention, feedForward } = owners(config, layer);
    return { ...at(layer), attention: at(attention).attention, feed_forward: at(feedForward).feed_forward };
  });
}

/** The layers that hold a layer's attention and feed-forward layer: the first of the same number. */
function owners({ sharedAttention, sharedFeedForward }: DalleModelConfig, layer: number) {
  const owner = (ids: readonly number[] | undefined): number =>
    ids ? Math.min(layer, ids.indexOf(ids[layer % ids.length] as number)) : layer;
  return { attention: owner(sharedAttention), feedForward: owner(sharedFeedForward) };
}

/** arXiv 2103.17239, as DALLE-pytorch has it: the deeper a layer, the less it adds at first. */
const initialScale = (layer: number): number => (layer <= 18 ? 0.1 : layer <= 24 ? 1e-5 : 1e-6);

/** What all layers are told. */
export const stackOptions = (config: DalleModelConfig): StackOptions => ({
  heads: config.heads,
  gated: config.gated,
  sharpness: config.stable ? SHARPNESS : undefined,
  shift: config.tokenShift ? streamLayout(config) : undefined,
});

/** How each layer attends among the first `positions` positions; layers of one kind share its masks. */
export function layerPatterns(config: DalleModelConfig, positions: number): AttentionPattern[] {
  const kinds = layerAttention(config);
  const layout = streamLayout(config);
  const patterns = new Map<AttentionKind, AttentionPattern>(
    [...new Set(kinds)].map((kind) => [kind, attentionPattern(kind, layout, positions)]),
  );
  return kinds.map((kind) => patterns.get(kind) as AttentionPattern);
}
