// Other people's CLIP weights as ours: the configuration that their shapes or their config.json tell, and their tensors
// in our layout, inputs before outputs. Which name is which is names.ts.

import { z } from 'zod';
import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { type ClipModelConfig, clipModelSchema } from '../../config/clip.ts';
import { RESNET_STRIDE } from '../../config/clip-towers.ts';
import { clipSpec } from '../../models/clip/model.ts';
import { UsageError } from '../../util/errors.ts';
import { type Rule, renameExactly } from '../rules.ts';
import { misfit, type StateDict } from '../tensors.ts';
import { dallePytorchRules, huggingFaceRules, openaiRules } from './names.ts';
import { resizedPositions } from './positions.ts';

export interface ConvertedClip {
  readonly model: ClipModelConfig;
  /** By our names, in the type the weights came in. */
  readonly tensors: ReadonlyMap<string, TensorSource>;
  /** Names and types of tensors beside them that cannot be weights. */
  readonly inert: readonly string[];
  /** Buffers beside them. */
  readonly beside: StateDict;
}

/** Buffers that carry nothing to learn. */
const BUFFER =
  /(^|\.)(position_ids|num_batches_tracked|attn_mask|input_resolution|context_length|vocab_size|pos_emb)$/;

/** The tensors under our names. */
const renamed = (source: StateDict, model: ClipModelConfig, rules: readonly Rule[], where: string) =>
  renameExactly(source, rules, clipSpec(model), where, BUFFER);

/** The shape of a tensor that says something of the configuration. */
function shapeOf(source: StateDict, name: string, where: string): readonly number[] {
  const tensor = source.get(name);
  if (!tensor) throw misfit(`${name} is missing`, where);
  return tensor.shape;
}

/** How many different numbers stand instead of # in the names. */
function count(source: StateDict, pattern: string): number {
  const [before, after] = pattern.split('#') as [string, string];
  const numbers = [...source.keys()].flatMap((name) =>
    name.startsWith(before) ? [name.slice(before.length).split(after)[0] as string] : [],
  );
  return new Set(numbers).size;
}

function checked(model: unknown, where: string): ClipModelConfig {
  const parsed = clipModelSchema.safeParse(model);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue?.path.join('.');
  if (at === 'image.size')
    throw new UsageError(`\`imageSize\`: ${issue?.message}`, {
      code: 'E_OPTION_VALUE',
      option: 'imageSize',
      where,
      fix: 'give a multiple of the patches that the weights were made for',
    });
  throw misfit(`${at}: ${issue?.message}`, where);
}

/** What tensors do not tell of a model; the model's defaults, which are OpenAI's, where left out. */
export interface ClipSettings {
  readonly activation?: ClipModelConfig['activation'] | undefined;
  readonly image?: Partial<ClipModelConfig['image']>;
  readonly text?: Partial<ClipModelConfig['text']>;
}

/**
 * Weights named as openai/CLIP and open_clip do.
 * @param settings what the tensors do not tell; OpenAI's by default
 * @throws DataError when they do not fit together
 */
export function fromOpenai(source: StateDict, where: string, settings: ClipSettings = {}): ConvertedClip {
  const shape = (name: string): readonly number[] => shapeOf(source, name, where);
  const [length, textWidth] = shape('positional_embedding');
  const [vocabulary] = shape('token_embedding.weight');
  const [, embedding] = shape('text_projection');
  const text = {
    length,
    vocabulary,
    width: textWidth,
    ...blocksOf(source, 'transformer', shape),
    ...settings.text,
  };
  const found = source.has('visual.proj') ? vitOf(source, shape) : resnetOf(source, shape);
  const image = { ...found, ...settings.image };
  const { activation } = settings;
  const model = checked({ embedding, ...(activation && { activation }), image, text }, where);
  return { model, ...renamed(resizedPositions(source, model), model, openaiRules(model), where) };
}

/** Depth and feed-forward width of a tower, and whether it has LayerScale. */
function blocksOf(source: StateDict, name: string, shape: (name: string) => readonly number[]) {
  const [hidden = 0, width = 1] = shape(`${name}.resblocks.0.mlp.c_fc.weight`);
  return {
    layers: count(source, `${name}.resblocks.#.`),
    mlpRatio: hidden / width,
    ...(source.has(`${name}.resblocks.0.ls_1.gamma`) && { layerScale: LAYER_SCALE }),
  };
}
/** The initial value is not in the weights; this is open_clip's, and no trained weight depends on it. */
const LAYER_SCALE = 1e-4;

function vitOf(source: StateDict, shape: (name: string) => readonly number[]) {
  const [width, , patch = 0] = shape('visual.conv1.weight');
  const [positions = 0] = shape('visual.positional_embedding');
  const size = Math.round(Math.sqrt(positions - 1)) * patch;
  const inputNorm = source.has('visual.ln_pre.weight');
  return { tower: 'vit', size, patch, width, inputNorm, ...blocksOf(source, 'visual.transformer', shape) };
}

function resnetOf(source: StateDict, shape: (name: string) => readonly number[]) {
  const [width] = shape('visual.layer1.0.conv1.weight');
  const [positions = 0] = shape('visual.attnpool.positional_embedding');
  const size = Math.round(Math.sqrt(positions - 1)) * RESNET_STRIDE;
  return {
    tower: 'resnet',
    size,
    width,
    blocks: [1, 2, 3, 4].map((n) => count(source, `visual.layer${n}.#.`)),
  };
}

const tower = z.object({
  num_hidden_layers: z.int().positive().default(12),
  hidden_act: z.enum(['quick_gelu', 'gelu']).default('quick_gelu'),
  layer_norm_eps: z.number().positive().default(1e-5),
});
/** config.json of Hugging Face's CLIPModel; it leaves out what is as its library has it by default. */
const huggingFaceSchema = z.object({
  model_type: z.literal('clip'),
  projection_dim: z.int().positive().default(512),
  text_config: tower
    .extend({
      hidden_size: z.int().positive().default(512),
      intermediate_size: z.int().positive().default(2048),
      num_attention_heads: z.int().positive().default(8),
      vocab_size: z.int().positive().default(49408),
      max_position_embeddings: z.int().positive().default(77),
      eos_token_id: z.int().nullish(),
    })
    .prefault({}),
  vision_config: tower
    .extend({
      hidden_size: z.int().positive().default(768),
      intermediate_size: z.int().positive().default(3072),
      num_attention_heads: z.int().positive().default(12),
      image_size: z.int().positive().default(224),
      patch_size: z.int().positive().default(32),
    })
    .prefault({}),
});

/** eos_token_id of OpenAI's models before 2023, with which transformers reads at the largest id, the end token. */
const FORMER_END = 2;

/** text_config_dict and vision_config_dict, of 2022, take the place of text_config and vision_config in transformers. */
const withFormerKeys = (config: unknown): unknown => {
  if (config === null || typeof config !== 'object') return config;
  const { text_config_dict: text, vision_config_dict: vision } = config as Record<string, unknown>;
  return { ...config, ...(text ? { text_config: text } : {}), ...(vision ? { vision_config: vision } : {}) };
};

/**
 * Weights named as Hugging Face's transformers does.
 * @param config the parsed config.json beside them
 * @throws DataError when it is not of a CLIP, or they do not fit together
 */
export function fromHuggingFace(
  source: StateDict,
  config: unknown,
  where: string,
  settings: ClipSettings = {},
): ConvertedClip {
  const parsed = huggingFaceSchema.safeParse(withFormerKeys(config));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw misfit(`config.json: ${issue?.path.join('.') || 'the file'}: ${issue?.message}`, where);
  }
  const { projection_dim: embedding, text_config: text, vision_config: image } = parsed.data;
  const { eos_token_id: end, vocab_size: ids } = text;
  if (typeof end === 'number' && end !== FORMER_END && end < ids - 1)
    throw misfit(`the text's features are at its end token ${end}, and mm reads them at the last id`, where);
  if (text.hidden_act !== image.hidden_act) throw misfit('the towers have different activations', where);
  const model = checked(
    {
      embedding,
      activation: text.hidden_act.replace('_', '-'),
      image: {
        size: image.image_size,
        patch: image.patch_size,
        width: image.hidden_size,
        layers: image.num_hidden_layers,
        heads: image.num_attention_heads,
        mlpRatio: image.intermediate_size / image.hidden_size,
        normEpsilon: image.layer_norm_eps,
        ...settings.image,
      },
      text: {
        vocabulary: text.vocab_size,
        length: text.max_position_embeddings,
        width: text.hidden_size,
        layers: text.num_hidden_layers,
        heads: text.num_attention_heads,
        mlpRatio: text.intermediate_size / text.hidden_size,
        normEpsilon: text.layer_norm_eps,
        ...settings.text,
      },
    },
    where,
  );
  return { model, ...renamed(resizedPositions(source, model), model, huggingFaceRules(model), where) };
}

/**
 * The weights of lucidrains' DALLE-pytorch CLIP; everything follows from their shapes, since heads are 64 wide.
 * It reads pixels in [0, 1] as they are.
 * @throws DataError when they do not fit together
 */
export function fromDallePytorch(source: StateDict, where: string): ConvertedClip {
  const shape = (name: string): readonly number[] => shapeOf(source, name, where);
  const [vocabulary, textWidth] = shape('text_emb.weight');
  const [length] = shape('text_pos_emb.weight');
  const [width, inputs = 0] = shape('to_visual_embedding.weight');
  const [positions = 0] = shape('visual_pos_emb.weight');
  const [embedding] = shape('to_text_latent.weight');
  const heads = (name: string): number =>
    (shape(`${name}.layers.layers.0.0.fn.fn.fn.to_out.0.weight`)[1] ?? 0) / 64;
  const layers = (name: string): number => count(source, `${name}.layers.layers.#.`);
  const patch = Math.round(Math.sqrt(inputs / 3));
  const model = checked(
    {
      architecture: 'dalle-pytorch',
      embedding,
      image: {
        size: Math.round(Math.sqrt(positions)) * patch,
        patch,
        width,
        layers: layers('visual_transformer'),
        heads: heads('visual_transformer'),
        mean: [0, 0, 0],
        stddev: [1, 1, 1],
      },
      text: {
        vocabulary,
        length,
        width: textWidth,
        layers: layers('text_transformer'),
        heads: heads('text_transformer'),
      },
    },
    where,
  );
  return { model, ...renamed(source, model, dallePytorchRules(model), where) };
}
