// The names of a VQGAN's weights in taming-transformers and latent-diffusion, and in diffusers.

import type { VqganConfig } from '../../config/vqgan.ts';
import { decoderLevels, encoderLevels } from '../../models/vqgan/config.ts';
import type { Layout } from '../layouts.ts';
import { layer, norm, type Rule, times } from '../rules.ts';

type Coder = 'encoder' | 'decoder';

/** How a program names the parts of a VQGAN. */
interface Naming {
  /** @param i from 0, the full image, on */
  readonly level: (coder: Coder, i: number, levels: number) => string;
  readonly block: (i: number) => string;
  readonly shortcut: string;
  readonly attention: (i: number) => string;
  /** Norm, queries, keys, values and output. */
  readonly attentionParts: readonly [string, string, string, string, string];
  readonly attentionLayout: Layout;
  readonly resize: Readonly<Record<Coder, string>>;
  readonly middle: readonly [block: string, attention: string, block: string];
  readonly norm: string;
}

const TAMING: Naming = {
  level: (coder, i) => `${coder}.${coder === 'encoder' ? 'down' : 'up'}.${i}`,
  block: (i) => `block.${i}`,
  shortcut: 'nin_shortcut',
  attention: (i) => `attn.${i}`,
  attentionParts: ['norm', 'q', 'k', 'v', 'proj_out'],
  attentionLayout: 'point',
  resize: { encoder: 'downsample.conv', decoder: 'upsample.conv' },
  middle: ['mid.block_1', 'mid.attn_1', 'mid.block_2'],
  norm: 'norm_out',
};

/** diffusers counts the decoder's levels in the order in which they run. */
const DIFFUSERS: Naming = {
  level: (coder, i, levels) =>
    coder === 'encoder' ? `encoder.down_blocks.${i}` : `decoder.up_blocks.${levels - 1 - i}`,
  block: (i) => `resnets.${i}`,
  shortcut: 'conv_shortcut',
  attention: (i) => `attentions.${i}`,
  attentionParts: ['group_norm', 'to_q', 'to_k', 'to_v', 'to_out.0'],
  attentionLayout: 'linear',
  resize: { encoder: 'downsamplers.0.conv', decoder: 'upsamplers.0.conv' },
  middle: ['mid_block.resnets.0', 'mid_block.attentions.0', 'mid_block.resnets.1'],
  norm: 'conv_norm_out',
};

const convolution = (ours: string, theirs: string): Rule[] => layer(ours, theirs, 'kernel');

const resblock = (naming: Naming, ours: string, theirs: string, hasShortcut: boolean): Rule[] => [
  ...norm(`${ours}.norm_1`, `${theirs}.norm1`),
  ...convolution(`${ours}.conv_1`, `${theirs}.conv1`),
  ...norm(`${ours}.norm_2`, `${theirs}.norm2`),
  ...convolution(`${ours}.conv_2`, `${theirs}.conv2`),
  ...(hasShortcut ? convolution(`${ours}.shortcut`, `${theirs}.${naming.shortcut}`) : []),
];

function attention({ attentionParts, attentionLayout }: Naming, ours: string, theirs: string): Rule[] {
  const [normName, query, key, value, output] = attentionParts;
  return [
    ...norm(`${ours}.norm`, `${theirs}.${normName}`),
    ...layer(`${ours}.query`, `${theirs}.${query}`, attentionLayout),
    ...layer(`${ours}.key`, `${theirs}.${key}`, attentionLayout),
    ...layer(`${ours}.value`, `${theirs}.${value}`, attentionLayout),
    ...layer(`${ours}.output`, `${theirs}.${output}`, attentionLayout),
  ];
}

function coder(naming: Naming, name: Coder, config: VqganConfig): Rule[] {
  const levels = (name === 'encoder' ? encoderLevels : decoderLevels)(config);
  const blocks = config.resnetBlocks + (name === 'encoder' ? 0 : 1);
  const [first, between, last] = naming.middle;
  const resized = (i: number): boolean => (name === 'encoder' ? i < levels.length - 1 : i > 0);
  return [
    ...convolution(`${name}.input`, `${name}.conv_in`),
    ...levels.flatMap(({ level, inputs, channels, hasAttention }, i) => {
      const ours = `${name}.levels.level_${level}`;
      const theirs = naming.level(name, i, levels.length);
      return [
        ...times(blocks, (j) =>
          resblock(
            naming,
            `${ours}.blocks.block_${j + 1}`,
            `${theirs}.${naming.block(j)}`,
            j === 0 && inputs !== channels,
          ),
        ),
        ...times(hasAttention ? blocks : 0, (j) =>
          attention(naming, `${ours}.attentions.attention_${j + 1}`, `${theirs}.${naming.attention(j)}`),
        ),
        ...(resized(i) ? convolution(`${ours}.resize`, `${theirs}.${naming.resize[name]}`) : []),
      ];
    }),
    ...resblock(naming, `${name}.middle.block_1`, `${name}.${first}`, false),
    ...(config.middleAttention ? attention(naming, `${name}.middle.attention`, `${name}.${between}`) : []),
    ...resblock(naming, `${name}.middle.block_2`, `${name}.${last}`, false),
    ...norm(`${name}.norm`, `${name}.${naming.norm}`),
    ...convolution(`${name}.output`, `${name}.conv_out`),
  ];
}

function rulesOf(naming: Naming, config: VqganConfig): Rule[] {
  const isGumbel = config.quantizer === 'gumbel';
  return [
    ...(config.hasEncoder
      ? [...coder(naming, 'encoder', config), ...convolution('quant_conv', 'quant_conv')]
      : []),
    ['codebook', isGumbel ? GUMBEL_CODEBOOK : NEAREST_CODEBOOK, 'plain'],
    ...(isGumbel ? convolution('logits', 'quantize.proj') : []),
    ...convolution('post_quant_conv', 'post_quant_conv'),
    ...coder(naming, 'decoder', config),
  ];
}

export const NEAREST_CODEBOOK = 'quantize.embedding.weight';
export const GUMBEL_CODEBOOK = 'quantize.embed.weight';

/** taming-transformers and latent-diffusion. */
export const tamingRules = (config: VqganConfig): Rule[] => rulesOf(TAMING, config);

/** diffusers' VQModel. */
export const diffusersRules = (config: VqganConfig): Rule[] => rulesOf(DIFFUSERS, config);

const DEPRECATED: Readonly<Record<string, string>> = {
  query: 'to_q',
  key: 'to_k',
  value: 'to_v',
  proj_attn: 'to_out.0',
};

/** diffusers' names of attention since its version 0.17, from those before. */
export const currentName = (name: string): string =>
  name.replace(
    /(\.attentions\.\d+\.)(query|key|value|proj_attn)(?=\.)/,
    (_, beginning: string, part: string) => beginning + DEPRECATED[part],
  );
