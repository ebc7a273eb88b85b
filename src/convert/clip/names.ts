// The names of CLIP's parameters in the programs that published them.

import type { ClipModelConfig } from '../../config/clip.ts';
import { layer, norm, type Rule, times } from '../rules.ts';
import { mapRows, timmVit } from './timm.ts';

/** Blocks as openai/CLIP and open_clip name them. */
const openaiBlocks = (
  ours: string,
  theirs: string,
  { layers, layerScale }: Pick<ClipModelConfig['text'], 'layers' | 'layerScale'>,
): Rule[] =>
  times(layers, (i) => {
    const [to, from] = [`${ours}.block_${i + 1}`, `${theirs}.resblocks.${i}`];
    return [
      ...norm(`${to}.attention_norm`, `${from}.ln_1`),
      [`${to}.attention.qkv.weight`, `${from}.attn.in_proj_weight`, 'linear'],
      [`${to}.attention.qkv.bias`, `${from}.attn.in_proj_bias`, 'plain'],
      ...layer(`${to}.attention.output`, `${from}.attn.out_proj`),
      ...norm(`${to}.feed_forward_norm`, `${from}.ln_2`),
      ...layer(`${to}.feed_forward.expand`, `${from}.mlp.c_fc`),
      ...layer(`${to}.feed_forward.contract`, `${from}.mlp.c_proj`),
      ...(layerScale === undefined ? [] : layerScales(to, from)),
    ];
  });

const layerScales = (to: string, from: string): Rule[] => [
  [`${to}.attention_scale`, `${from}.ls_1.gamma`, 'plain'],
  [`${to}.feed_forward_scale`, `${from}.ls_2.gamma`, 'plain'],
];

const openaiVit = (image: ClipModelConfig['image']): Rule[] => [
  ['image.patch', 'visual.conv1.weight', 'patch'],
  ['image.class', 'visual.class_embedding', 'plain'],
  ['image.position', 'visual.positional_embedding', 'plain'],
  ...(image.inputNorm ? norm('image.input_norm', 'visual.ln_pre') : []),
  ...openaiBlocks('image.blocks', 'visual.transformer', image),
  ...norm('image.norm', 'visual.ln_post'),
  ['image.projection', 'visual.proj', 'plain'],
];

function openaiResnet(stages: readonly number[]): Rule[] {
  const unit = (ours: string, conv: string, bn: string): Rule[] => [
    [`${ours}.weight`, `${conv}.weight`, 'kernel'],
    ...norm(`${ours}.norm`, bn),
    [`${ours}.norm.mean`, `${bn}.running_mean`, 'plain'],
    [`${ours}.norm.variance`, `${bn}.running_var`, 'plain'],
  ];
  const units = (ours: string, theirs: string): Rule[] =>
    times(3, (i) => unit(`${ours}.conv_${i + 1}`, `${theirs}conv${i + 1}`, `${theirs}bn${i + 1}`));
  return [
    ...units('image.stem', 'visual.'),
    ...stages.flatMap((count, stage) =>
      times(count, (i) => {
        const [ours, theirs] = [
          `image.stage_${stage + 1}.block_${i + 1}`,
          `visual.layer${stage + 1}.${i}.`,
        ] as const;
        const shortcut = unit(`${ours}.shortcut`, `${theirs}downsample.0`, `${theirs}downsample.1`);
        return [...units(ours, theirs), ...(i === 0 ? shortcut : [])];
      }),
    ),
    ['image.pool.position', 'visual.attnpool.positional_embedding', 'plain'],
    ...layer('image.pool.query', 'visual.attnpool.q_proj'),
    ...layer('image.pool.key', 'visual.attnpool.k_proj'),
    ...layer('image.pool.value', 'visual.attnpool.v_proj'),
    ...layer('image.pool.output', 'visual.attnpool.c_proj'),
  ];
}

function openaiImage(image: ClipModelConfig['image']): Rule[] {
  if (image.tower === 'resnet') return openaiResnet(image.blocks);
  return image.pool === 'map' ? timmVit(image) : openaiVit(image);
}

/** A matrix, with a bias or nothing where SigLIP's text tower has them. */
const PROJECTIONS: Readonly<Record<ClipModelConfig['text']['projection'], readonly Rule[]>> = {
  linear: [['text.projection', 'text_projection', 'plain']],
  affine: [
    ['text.projection', 'text_projection.weight', 'linear'],
    ['text.projection_bias', 'text_projection.bias', 'plain'],
  ],
  none: [],
};

/** openai/CLIP's and open_clip's names. */
export const openaiRules = ({ image, text, loss }: ClipModelConfig): Rule[] => [
  ...openaiImage(image),
  ['text.embedding', 'token_embedding.weight', 'plain'],
  ['text.position', 'positional_embedding', 'plain'],
  ...openaiBlocks('text.blocks', 'transformer', text),
  ...norm('text.norm', 'ln_final'),
  ...PROJECTIONS[text.projection],
  ['logit_scale', 'logit_scale', 'scalar'],
  ...(loss === 'sigmoid' ? ([['logit_bias', 'logit_bias', 'scalar']] as const) : []),
];

const huggingFaceBlocks = (ours: string, theirs: string, layers: number): Rule[] =>
  times(layers, (i) => {
    const [to, from] = [`${ours}.block_${i + 1}`, `${theirs}.encoder.layers.${i}`];
    const qkv = ['q', 'k', 'v'].map((part) => `${from}.self_attn.${part}_proj`);
    return [
      ...norm(`${to}.attention_norm`, `${from}.layer_norm1`),
      [`${to}.attention.qkv.weight`, qkv.map((name) => `${name}.weight`), 'linear'],
      [`${to}.attention.qkv.bias`, qkv.map((name) => `${name}.bias`), 'plain'],
      ...layer(`${to}.attention.output`, `${from}.self_attn.out_proj`),
      ...norm(`${to}.feed_forward_norm`, `${from}.layer_norm2`),
      ...layer(`${to}.feed_forward.expand`, `${from}.mlp.fc1`),
      ...layer(`${to}.feed_forward.contract`, `${from}.mlp.fc2`),
    ];
  });

/** The names of Hugging Face's transformers; `pre_layrnorm` is theirs. */
export const huggingFaceRules = ({ image, text }: ClipModelConfig): Rule[] => [
  ['image.patch', 'vision_model.embeddings.patch_embedding.weight', 'patch'],
  ['image.class', 'vision_model.embeddings.class_embedding', 'plain'],
  ['image.position', 'vision_model.embeddings.position_embedding.weight', 'plain'],
  ...norm('image.input_norm', 'vision_model.pre_layrnorm'),
  ...huggingFaceBlocks('image.blocks', 'vision_model', image.layers),
  ...norm('image.norm', 'vision_model.post_layernorm'),
  ['image.projection', 'visual_projection.weight', 'linear'],
  ['text.embedding', 'text_model.embeddings.token_embedding.weight', 'plain'],
  ['text.position', 'text_model.embeddings.position_embedding.weight', 'plain'],
  ...huggingFaceBlocks('text.blocks', 'text_model', text.layers),
  ...norm('text.norm', 'text_model.final_layer_norm'),
  ['text.projection', 'text_projection.weight', 'linear'],
  ['logit_scale', 'logit_scale', 'scalar'],
];

/** SiglipModel of transformers. */
export const huggingFaceSiglipRules = ({ image, text }: ClipModelConfig): Rule[] => [
  ['image.patch', 'vision_model.embeddings.patch_embedding.weight', 'patch'],
  ['image.patch_bias', 'vision_model.embeddings.patch_embedding.bias', 'plain'],
  ['image.position', 'vision_model.embeddings.position_embedding.weight', 'plain'],
  ...huggingFaceBlocks('image.blocks', 'vision_model', image.layers),
  ...norm('image.norm', 'vision_model.post_layernorm'),
  ['image.map.probe', 'vision_model.head.probe', 'scale'],
  ...mapRows(image.width, 'vision_model.head.attention.in_proj_', [
    ['query', 0],
    ['key', 1],
    ['value', 2],
  ]),
  ...layer('image.map.output', 'vision_model.head.attention.out_proj'),
  ...norm('image.map.norm', 'vision_model.head.layernorm'),
  ...layer('image.map.feed_forward.expand', 'vision_model.head.mlp.fc1'),
  ...layer('image.map.feed_forward.contract', 'vision_model.head.mlp.fc2'),
  ['text.embedding', 'text_model.embeddings.token_embedding.weight', 'plain'],
  ['text.position', 'text_model.embeddings.position_embedding.weight', 'plain'],
  ...huggingFaceBlocks('text.blocks', 'text_model', text.layers),
  ...norm('text.norm', 'text_model.final_layer_norm'),
  ['text.projection', 'text_model.head.weight', 'linear'],
  ['text.projection_bias', 'text_model.head.bias', 'plain'],
  ['logit_scale', 'logit_scale', 'scalar'],
  ['logit_bias', 'logit_bias', 'scalar'],
];

/** lucidrains' DALLE-pytorch, class CLIP. */
export const dallePytorchRules = ({ image, text }: ClipModelConfig): Rule[] => [
  ...layer('image.patch', 'to_visual_embedding'),
  ['image.position', 'visual_pos_emb.weight', 'plain'],
  ...dallePytorchBlocks('image.lucid_blocks', 'visual_transformer', image.layers),
  ['image.projection', 'to_visual_latent.weight', 'linear'],
  ['text.embedding', 'text_emb.weight', 'plain'],
  ['text.position', 'text_pos_emb.weight', 'plain'],
  ...dallePytorchBlocks('text.lucid_blocks', 'text_transformer', text.layers),
  ['text.projection', 'to_text_latent.weight', 'linear'],
  ['logit_scale', 'temperature', 'scalar'],
];

const dallePytorchBlocks = (ours: string, theirs: string, layers: number): Rule[] =>
  times(layers, (i) => {
    const to = `${ours}.block_${i + 1}`;
    const [attention, feedForward] = [0, 1].map((part) => `${theirs}.layers.layers.${i}.${part}`);
    return [
      [`${to}.attention_scale`, `${attention}.scale`, 'scale'],
      ...norm(`${to}.attention_norm`, `${attention}.fn.norm`),
      [`${to}.attention.qkv.weight`, `${attention}.fn.fn.fn.to_qkv.weight`, 'linear'],
      ...layer(`${to}.attention.output`, `${attention}.fn.fn.fn.to_out.0`),
      [`${to}.feed_forward_scale`, `${feedForward}.scale`, 'scale'],
      ...norm(`${to}.feed_forward_norm`, `${feedForward}.fn.norm`),
      ...layer(`${to}.feed_forward.expand`, `${feedForward}.fn.fn.net.0`),
      ...layer(`${to}.feed_forward.contract`, `${feedForward}.fn.fn.net.3`),
    ];
  });
