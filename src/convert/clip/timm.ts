// SigLIP's image towers in timm (timm/models/vision_transformer.py), which open_clip uses: what their weights do not
// tell, and the names of their parameters.

import type { ClipModelConfig } from '../../config/clip.ts';
import { layer, norm, type Rule, times } from '../rules.ts';

/** Width, layers, heads and width of the feed-forward layers by timm's name of the size. */
const SIZES = {
  base: { width: 768, layers: 12, heads: 12, mlp_ratio: 4 },
  large: { width: 1024, layers: 24, heads: 16, mlp_ratio: 4 },
  so400m: { width: 1152, layers: 27, heads: 16, mlp_ratio: 3.7362 },
  giantopt: { width: 1536, layers: 40, heads: 16, mlp_ratio: 4 },
} as const;

const NAME = /^vit_(base|large|so400m|giantopt)_patch(14|16|32)_siglip_(\d+)$/;

/** Those with GELU's approximation by tanh; the others, of the same weights' family, have the exact one in timm. */
const TANH = /^vit_(base_patch32_siglip_256|large_patch16_siglip_512|so400m_patch16_.*|giantopt_.*)$/;

/** The tower of a timm name, as open_clip's `vision_cfg` would describe its own; undefined for other towers. */
export function timmSiglip(name: unknown) {
  const [, size, patch, pixels] = (typeof name === 'string' && NAME.exec(name)) || [];
  if (size === undefined) return undefined;
  const { width, heads, ...shape } = SIZES[size as keyof typeof SIZES];
  return {
    ...shape,
    ...{ width, head_width: width / heads },
    ...{ patch_size: Number(patch), image_size: Number(pixels) },
    act_kwargs: { approximate: TANH.test(name as string) ? 'tanh' : 'none' },
    norm_kwargs: { eps: 1e-6 },
    ...{ no_ln_pre: true, pool_type: 'map' },
  };
}

/** Queries, keys and values that are rows of one matrix, from `first` on. */
export const mapRows = (
  width: number,
  from: string,
  first: readonly (readonly [ours: string, row: number])[],
): Rule[] =>
  first.flatMap(([ours, row]): Rule[] => [
    [`image.map.${ours}.weight`, `${from}weight`, 'linear', [row * width, width]],
    [`image.map.${ours}.bias`, `${from}bias`, 'plain', [row * width, width]],
  ]);

/** timm's VisionTransformer with attention pooling, under `visual.trunk` of open_clip. */
export const timmVit = ({ width, layers }: ClipModelConfig['image']): Rule[] => [
  ['image.patch', 'visual.trunk.patch_embed.proj.weight', 'patch'],
  ['image.patch_bias', 'visual.trunk.patch_embed.proj.bias', 'plain'],
  ['image.position', 'visual.trunk.pos_embed', 'table'],
  ...times(layers, (i) => {
    const [to, from] = [`image.blocks.block_${i + 1}`, `visual.trunk.blocks.${i}`];
    return [
      ...norm(`${to}.attention_norm`, `${from}.norm1`),
      ...layer(`${to}.attention.qkv`, `${from}.attn.qkv`),
      ...layer(`${to}.attention.output`, `${from}.attn.proj`),
      ...norm(`${to}.feed_forward_norm`, `${from}.norm2`),
      ...layer(`${to}.feed_forward.expand`, `${from}.mlp.fc1`),
      ...layer(`${to}.feed_forward.contract`, `${from}.mlp.fc2`),
    ];
  }),
  ...norm('image.norm', 'visual.trunk.norm'),
  ['image.map.probe', 'visual.trunk.attn_pool.latent', 'scale'],
  ...layer('image.map.query', 'visual.trunk.attn_pool.q'),
  ...mapRows(width, 'visual.trunk.attn_pool.kv.', [
    ['key', 0],
    ['value', 1],
  ]),
  ...layer('image.map.output', 'visual.trunk.attn_pool.proj'),
  ...norm('image.map.norm', 'visual.trunk.attn_pool.norm'),
  ...layer('image.map.feed_forward.expand', 'visual.trunk.attn_pool.mlp.fc1'),
  ...layer('image.map.feed_forward.contract', 'visual.trunk.attn_pool.mlp.fc2'),
];
