// The resblocks of a configuration: the parameters that each layer has, those it shares, and the options of all layers.

import type { AttentionKind, DalleModelConfig } from '../../config/dalle-model.ts';
import { type AttentionPattern, attentionPattern } from '../../nn/attention-pattern.ts';
import { type BlockParameters, type BlockSpec, blockSpec } from '../../nn/block-spec.ts';
import { gelu, geluTanh } from '../../nn/functional/gelu.ts';
import { layerScaleInit } from '../../nn/layer-scale.ts';
import { stackSpecs } from '../../nn/parameters.ts';
import type { StackOptions } from '../../nn/transformer.ts';
import { headWidth, layerAttention, streamLayout } from './config.ts';

/** Divisor of the products of queries and keys in a stable softmax (arXiv 2105.13290). */
const SHARPNESS = 32 ** 2;

export type BlockSpecs = { readonly [block in `block_${number}`]: BlockSpec };

/** The specs of each layer. Shared parts are in the first layer that has them. */
export function blockSpecs(config: DalleModelConfig, stddev: number): BlockSpecs {
  const { layers, width, heads, gated, sandwichNorm, attentionBias } = config;
  return stackSpecs('block', layers, (layer) => {
    const whole = blockSpec({
      width,
      inner: heads * headWidth(config),
      attentionBias,
      layers,
      stddev,
      gated,
      sandwich: sandwichNorm,
      layerScale: config.layerScale ? layerScaleInit(layer + 1) : undefined,
    });
    const { attention, feedForward } = owners(config, layer);
    return {
      ...whole,
      attention: attention === layer ? whole.attention : undefined,
      feed_forward: feedForward === layer ? whole.feed_forward : undefined,
    } as BlockSpec;
  });
}

/** The parameters of each layer, shared ones included. */
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

/** Indices of the layers that hold a layer's attention and feed-forward parameters: the first with the same id. */
export function owners({ sharedAttention, sharedFeedForward }: DalleModelConfig, layer: number) {
  const owner = (ids: readonly number[] | undefined): number =>
    ids ? Math.min(layer, ids.indexOf(ids[layer % ids.length] as number)) : layer;
  return { attention: owner(sharedAttention), feedForward: owner(sharedFeedForward) };
}

const ACTIVATIONS = { gelu, 'gelu-tanh': geluTanh } as const satisfies Record<
  DalleModelConfig['activation'],
  StackOptions['activation']
>;

/** The options that all layers share. */
export const stackOptions = (config: DalleModelConfig): StackOptions => ({
  heads: config.heads,
  gated: config.gated,
  activation: ACTIVATIONS[config.activation],
  sharpness: config.stable ? SHARPNESS : undefined,
  shift: config.tokenShift ? streamLayout(config) : undefined,
});

/** The attention pattern of each layer for the first `positions` positions; layers of one kind share one. */
export function layerPatterns(config: DalleModelConfig, positions: number): AttentionPattern[] {
  const kinds = layerAttention(config);
  const layout = streamLayout(config);
  const patterns = new Map<AttentionKind, AttentionPattern>(
    [...new Set(kinds)].map((kind) => [kind, attentionPattern(kind, layout, positions)]),
  );
  return kinds.map((kind) => patterns.get(kind) as AttentionPattern);
}
