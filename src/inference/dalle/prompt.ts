// A prompt's pass in parts, each of which can run as soon as the weights that it reads are there: the first layers of a
// large model compute while the file of the last ones is read.
//   B batch, always 1, T text positions, J given image tokens, N = T + 1 + J positions, D width of the stream,
//   V vocabulary

import type { DalleModelConfig } from '../../config/dalle-model.ts';
import { DT, elementBytes } from '../../engine/native/dtype.ts';
import { type Tensor2D, type Tensor3D, tf } from '../../engine/tfjs/tf.ts';
import { owners } from '../../models/dalle/blocks.ts';
import {
  type DalleParameters,
  type DalleSpec,
  embed,
  imageLogits,
  type LayerRange,
  normalizeOutput,
  throughLayers,
} from '../../models/dalle/model.ts';
import type { WeightEntry, Weights } from '../../nn/weights.ts';
import { sizeOf } from '../../util/shape.ts';
import type { PromptPart } from '../sampler/generator.ts';
import type { KvCache } from './kv-cache.ts';

/** The least weights of a part: a part costs some milliseconds to build. */
export const PART_BYTES = 2 ** 28;

const EMBEDDINGS = /^(start|text_embedding|text_position|image_embedding|image_row|image_column)$/;
const OUTPUT = /^(norm|head_norm|image_head|image_embedding)\b/;

/** The parts of a prompt's pass, which fill row after row of `cache`. */
export function promptParts(
  config: DalleModelConfig,
  weights: Weights<DalleSpec>,
  cache: KvCache,
  partBytes: number,
): PromptPart[] {
  const ranges = layerRanges(config, weights, partBytes);
  return ranges.map((range, i): PromptPart => {
    const [isFirst, isLast] = [i === 0, i === ranges.length - 1];
    const isUsed = (name: string): boolean =>
      (isFirst && EMBEDDINGS.test(name)) || (isLast && OUTPUT.test(name)) || isOfLayers(name, range, config);
    const used = new Set([...weights.entries.keys()].filter(isUsed));
    return {
      weights: Array.from(used, (name) => (weights.entries.get(name) as WeightEntry).variable),
      run({ text_1T, image_1J, row, stream }) {
        const p = weights.read(used);
        const x_1ND = (stream as Tensor3D | undefined) ?? embed(p, text_1T, image_1J, config);
        const done = throughLayers(p, x_1ND, config, range);
        cache.writePrompt(done.cache, row, range.first);
        return isLast ? { logits_1V: promptLogits(p, done.x_BND, config) } : { stream: done.x_BND };
      },
    };
  });
}

/** The logits of the image token after a prompt, [B, V]. @param x_BND the stream after the last layer */
export function promptLogits(p: DalleParameters, x_BND: Tensor3D, config: DalleModelConfig): Tensor2D {
  const normalized_BND = normalizeOutput(p, x_BND, config);
  const [batch, positions, width] = x_BND.shape;
  const last_BD = tf.reshape(tf.slice(normalized_BND, [0, positions - 1, 0]), [batch, width]);
  return imageLogits(p, last_BD) as Tensor2D;
}

/** All layers, divided where `partBytes` of weights are reached; a reversible stack runs as a whole. */
function layerRanges(config: DalleModelConfig, weights: Weights<DalleSpec>, partBytes: number): LayerRange[] {
  const { layers, reversible } = config;
  if (reversible) return [{ first: 0, end: layers }];
  const ranges: LayerRange[] = [];
  let [first, bytes] = [0, 0];
  for (let layer = 0; layer < layers; layer++) {
    for (const [name, { variable }] of weights.entries)
      if (name.startsWith(`blocks.block_${layer + 1}.`))
        bytes += sizeOf(variable.shape) * elementBytes(DT[variable.dtype]);
    if (bytes < partBytes && layer < layers - 1) continue;
    ranges.push({ first, end: layer + 1 });
    [first, bytes] = [layer + 1, 0];
  }
  return ranges;
}

/** Whether layers of the range use a parameter, be it their own or shared. */
function isOfLayers(name: string, { first, end }: LayerRange, config: DalleModelConfig): boolean {
  for (let layer = first; layer < end; layer++) {
    const { attention, feedForward } = owners(config, layer);
    const parts = [
      `block_${layer + 1}.`,
      `block_${attention + 1}.attention.`,
      `block_${feedForward + 1}.feed_forward.`,
    ];
    if (parts.some((part) => name.startsWith(`blocks.${part}`))) return true;
  }
  return false;
}
