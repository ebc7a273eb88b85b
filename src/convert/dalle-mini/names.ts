// The names of DALL·E mini's weights: min-dalle's in PyTorch, and dalle-mini's in Flax, which become min-dalle's.

import type { DalleMiniConfig } from '../../config/dalle-mini.ts';
import type { FlaxTensor } from '../flax/file.ts';
import type { Layout } from '../layouts.ts';
import { norm, type Rule, times } from '../rules.ts';
import type { ExternalTensor, StateDict } from '../tensors.ts';

const PROJECTIONS = [
  ['query', 'q_proj'],
  ['key', 'k_proj'],
  ['value', 'v_proj'],
  ['output', 'out_proj'],
] as const;

/** An attention, whose norms are named after it. @param name of it in theirs, under `layer` */
function attention(ours: string, layer: string, name: string, linear: Layout): Rule[] {
  return [
    ...norm(`${ours}.norm`, `${layer}.pre_${name}_layer_norm`),
    ...PROJECTIONS.map(
      ([own, other]): Rule => [`${ours}.${own}.weight`, `${layer}.${name}.${other}.weight`, linear],
    ),
    ...norm(`${ours}.end_norm`, `${layer}.${name}_layer_norm`),
  ];
}

function glu(ours: string, theirs: string, linear: Layout): Rule[] {
  return [
    ...norm(`${ours}.norm`, `${theirs}.ln0`),
    [`${ours}.gate.weight`, `${theirs}.fc0.weight`, linear],
    [`${ours}.value.weight`, `${theirs}.fc1.weight`, linear],
    ...norm(`${ours}.hidden_norm`, `${theirs}.ln1`),
    [`${ours}.output.weight`, `${theirs}.fc2.weight`, linear],
  ];
}

/** The encoder or the decoder, whose layers have cross-attention too. */
function coder(name: 'encoder' | 'decoder', layers: number, linear: Layout): Rule[] {
  return [
    [`${name}.embedding`, `${name}.embed_tokens.weight`, 'plain'],
    [`${name}.position`, `${name}.embed_positions.weight`, 'plain'],
    ...norm(`${name}.embedding_norm`, `${name}.layernorm_embedding`),
    ...norm(`${name}.norm`, `${name}.final_ln`),
    ...times(layers, (i) => {
      const [ours, theirs] = [`${name}.layers.layer_${i + 1}`, `${name}.layers.${i}`];
      return [
        ...attention(`${ours}.self_attention`, theirs, 'self_attn', linear),
        ...(name === 'decoder' ? attention(`${ours}.cross_attention`, theirs, 'encoder_attn', linear) : []),
        ...glu(`${ours}.glu`, `${theirs}.glu`, linear),
      ];
    }),
  ];
}

/**
 * The rules, with `encoder.` and `decoder.` before min-dalle's names.
 * @param linear layout of matrices: PyTorch's `linear`, or `plain` in Flax
 */
export const dalleMiniRules = (
  { encoderLayers, decoderLayers }: Pick<DalleMiniConfig, 'encoderLayers' | 'decoderLayers'>,
  linear: Layout,
): Rule[] => [
  ...coder('encoder', encoderLayers, linear),
  ...coder('decoder', decoderLayers, linear),
  ['decoder.head.weight', 'decoder.lm_head.weight', linear],
];

/** Names of a layer's parts in Flax, by their order of creation there. */
const FLAX_PARTS: Readonly<Record<string, string>> = {
  FlaxBartAttention_0: 'self_attn',
  FlaxBartAttention_1: 'encoder_attn',
  GLU_0: 'glu',
  LayerNorm_0: 'pre_self_attn_layer_norm',
  LayerNorm_1: 'self_attn_layer_norm',
  LayerNorm_2: 'pre_encoder_attn_layer_norm',
  LayerNorm_3: 'encoder_attn_layer_norm',
  'GLU_0.LayerNorm_0': 'glu.ln0',
  'GLU_0.LayerNorm_1': 'glu.ln1',
  'GLU_0.Dense_0': 'glu.fc0',
  'GLU_0.Dense_1': 'glu.fc1',
  'GLU_0.Dense_2': 'glu.fc2',
};
const LEAVES: Readonly<Record<string, string>> = {
  kernel: 'weight',
  scale: 'weight',
  embedding: 'weight',
  bias: 'bias',
};

/** A layer's tensor: `encoder.layers.FlaxBartEncoderLayer_3.REST`, or with all layers in one array, `…Layers.REST`. */
const FLAX_LAYER = /^(encoder|decoder)\.layers\.FlaxBart(?:En|De)coderLayer(?:_(\d+)|s)\.(.+)\.(\w+)$/;

function partName(parts: string): string {
  const whole = FLAX_PARTS[parts];
  if (whole !== undefined) return whole;
  const [first = '', ...rest] = parts.split('.');
  return [FLAX_PARTS[first] ?? first, ...rest].join('.');
}

/** dalle-mini's tensors by min-dalle's names; the arrays that hold all layers become one tensor a layer. */
export function fromFlax(tensors: StateDict): StateDict {
  const renamed = new Map<string, ExternalTensor>();
  for (const [name, tensor] of tensors) {
    const plain = name.replace(/^params\./, '').replace(/^model\./, '');
    const match = FLAX_LAYER.exec(plain);
    if (!match) {
      const [, parts = '', leaf = ''] = /^(?:(.*)\.)?(\w+)$/.exec(plain) ?? [];
      renamed.set(`${parts === 'lm_head' ? 'decoder.lm_head' : parts}.${LEAVES[leaf] ?? leaf}`, tensor);
      continue;
    }
    const [, coder, layer, parts = '', leaf = ''] = match;
    const nameOf = (index: number | string) =>
      `${coder}.layers.${index}.${partName(parts)}.${LEAVES[leaf] ?? leaf}`;
    if (layer !== undefined) renamed.set(nameOf(layer), tensor);
    else
      for (let i = 0; i < (tensor.shape[0] ?? 0); i++) renamed.set(nameOf(i), (tensor as FlaxTensor).at(i));
  }
  return renamed;
}
