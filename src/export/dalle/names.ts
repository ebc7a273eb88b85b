// The names of a DALLE's weights in DALLE-pytorch 1.6.6 with the wrappers of its layers, which the rules of
// convert/dalle/names.ts leave out, and the tensors that it has under several names.

import type { TensorSource } from '../../checkpoint/safetensors.ts';
import type { DalleModelConfig } from '../../config/dalle-model.ts';
import { owners } from '../../models/dalle/blocks.ts';

const BRANCH = /^(transformer\.layers\.(?:layers\.\d+\.([01])|blocks\.\d+\.([fg])\.net))\.(.+)$/;

/**
 * transformer.layers.layers.0.0.to_qkv.weight → transformer.layers.layers.0.0.fn.fn.fn.to_qkv.weight: LayerScale,
 * PreNorm, with token shift CachedAs and PreShiftToken, and around attention NonCached or CachedAs.
 */
export function wrappedName(name: string, { tokenShift }: DalleModelConfig): string {
  const match = BRANCH.exec(name);
  if (!match) return name;
  const [, branch, index, half, part] = match as unknown as [string, string, string?, string?, string?];
  if (part === 'scale') return name;
  if (/^norm(_out)?\./.test(part as string)) return `${branch}.fn.${part}`;
  const isAttention = index === '0' || half === 'f';
  const wrappers = 2 + (tokenShift ? 2 : 0) + (isAttention ? 1 : 0);
  return `${branch}.${'fn.'.repeat(wrappers)}${part}`;
}

/** The beginning of the names of a layer's branches, without wrappers. */
export const branches = (
  layer: number,
  { reversible }: DalleModelConfig,
): readonly [attention: string, feedForward: string] => {
  const at = `transformer.layers.${reversible ? 'blocks' : 'layers'}.${layer}`;
  return reversible ? [`${at}.f.net`, `${at}.g.net`] : [`${at}.0`, `${at}.1`];
};

/**
 * The tensors under all of their names: layers that share weights each have them, and a tied head is in the embeddings
 * too. The same objects, so that they share their storage in a file.
 */
export function underAllNames(
  tensors: ReadonlyMap<string, TensorSource>,
  config: DalleModelConfig,
): Map<string, TensorSource> {
  const all = new Map(tensors);
  const copy = (from: string, to: string): void => {
    const source = all.get(from);
    if (source) all.set(to, source);
  };
  for (let layer = 0; layer < config.layers; layer++) {
    const { attention, feedForward } = owners(config, layer);
    const own = branches(layer, config);
    const shared: readonly (readonly [owner: number, branch: 0 | 1, parts: readonly string[]])[] = [
      [attention, 0, ['to_qkv.weight', 'to_out.0.weight', 'to_out.0.bias']],
      [feedForward, 1, ['net.0.weight', 'net.0.bias', 'net.3.weight', 'net.3.bias']],
    ];
    for (const [owner, branch, parts] of shared)
      for (const part of parts) copy(`${branches(owner, config)[branch]}.${part}`, `${own[branch]}.${part}`);
  }
  if (config.tiedEmbeddings) {
    copy('text_emb.linear.weight', 'to_logits.1.weight');
    for (const part of ['weight', 'bias'])
      for (const table of ['text_emb', 'image_emb']) copy(`to_logits.1.${part}`, `${table}.linear.${part}`);
  }
  return new Map(Array.from(all, ([name, source]) => [wrappedName(name, config), source]));
}
