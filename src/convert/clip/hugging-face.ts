// CLIP and SigLIP weights of Hugging Face's transformers as ours: the configuration of their config.json, and their
// tensors in our layout.

import { z } from 'zod';
import { DataError } from '../../util/errors.ts';
import { misfit, type StateDict } from '../tensors.ts';
import { huggingFaceRules, huggingFaceSiglipRules } from './names.ts';
import { resizedPositions } from './positions.ts';
import { type ClipSettings, type ConvertedClip, checked, renamed, SIGLIP_IMAGE } from './weights.ts';

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

interface Tower {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly layer_norm_eps: number;
}

const towerOf = (tower: Tower) => ({
  width: tower.hidden_size,
  layers: tower.num_hidden_layers,
  heads: tower.num_attention_heads,
  mlpRatio: tower.intermediate_size / tower.hidden_size,
  normEpsilon: tower.layer_norm_eps,
});

function read<T extends z.ZodType>(schema: T, config: unknown, where: string): z.output<T> {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw misfit(`config.json: ${issue?.path.join('.') || 'the file'}: ${issue?.message}`, where);
}

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
  const parsed = read(huggingFaceSchema, withFormerKeys(config), where);
  const { projection_dim: embedding, text_config: text, vision_config: image } = parsed;
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
        ...towerOf(image),
        ...settings.image,
      },
      text: {
        vocabulary: text.vocab_size,
        length: text.max_position_embeddings,
        ...towerOf(text),
        ...settings.text,
      },
    },
    where,
  );
  return { model, ...renamed(resizedPositions(source, model), model, huggingFaceRules(model), where) };
}

const ACTIVATIONS = { gelu_pytorch_tanh: 'gelu-tanh', gelu: 'gelu', quick_gelu: 'quick-gelu' } as const;
const siglipTower = z.object({
  hidden_size: z.int().positive().default(768),
  intermediate_size: z.int().positive().default(3072),
  num_hidden_layers: z.int().positive().default(12),
  num_attention_heads: z.int().positive().default(12),
  hidden_act: z
    .enum(['gelu_pytorch_tanh', 'gelu', 'quick_gelu'])
    .default('gelu_pytorch_tanh')
    .transform((name) => ACTIVATIONS[name]),
  layer_norm_eps: z.number().positive().default(1e-6),
});
/** One number, or the same one twice. */
const square = z.union([
  z.int().positive(),
  z
    .tuple([z.int().positive(), z.int().positive()])
    .refine(([height, width]) => height === width, 'is not square')
    .transform(([side]) => side),
]);
/** config.json of SiglipModel; SigLIP 2 of fixed resolution is one too. */
const siglipSchema = z.object({
  model_type: z.literal('siglip'),
  text_config: siglipTower
    .extend({
      vocab_size: z.int().positive().default(32000),
      max_position_embeddings: z.int().positive().default(64),
      projection_size: z.int().positive().nullish(),
    })
    .prefault({}),
  vision_config: siglipTower
    .extend({
      image_size: square.default(224),
      patch_size: square.default(16),
      vision_use_head: z.literal(true).default(true),
      num_channels: z.literal(3).default(3),
    })
    .prefault({}),
});

/** What is not in the tensors and config.json of a SigLIP. */
export interface SiglipSettings {
  readonly image: NonNullable<ClipSettings['image']>;
  readonly text: Pick<NonNullable<ClipSettings['text']>, 'specialTokens'>;
}

/**
 * Weights of transformers' SiglipModel.
 * @param config the parsed config.json beside them
 * @throws DataError when it is not of a SigLIP of fixed resolution, or they do not fit together
 */
export function fromHuggingFaceSiglip(
  source: StateDict,
  config: unknown,
  where: string,
  settings?: SiglipSettings,
): ConvertedClip {
  if (source.get('vision_model.embeddings.patch_embedding.weight')?.shape.length === 2)
    throw new DataError(
      'a SigLIP 2 of the kind NaFlex (Siglip2Model), which reads images of any proportions as masked patches',
      {
        code: 'E_CLIP_UNSUPPORTED',
        where,
        fix: 'convert a SigLIP 2 of fixed resolution, such as siglip2-base-patch16-256 (SiglipModel)',
      },
    );
  const { text_config: text, vision_config: image } = read(siglipSchema, config, where);
  const { projection_size: embedding } = text;
  const model = checked(
    {
      embedding: embedding ?? text.hidden_size,
      loss: 'sigmoid',
      activation: text.hidden_act,
      image: {
        ...SIGLIP_IMAGE,
        size: image.image_size,
        patch: image.patch_size,
        ...towerOf(image),
        ...(image.hidden_act !== text.hidden_act && { activation: image.hidden_act }),
        ...settings?.image,
      },
      text: {
        vocabulary: text.vocab_size,
        length: text.max_position_embeddings,
        ...towerOf(text),
        ...{ causal: false, pool: 'last', projection: 'affine' },
        ...settings?.text,
      },
    },
    where,
  );
  return { model, ...renamed(source, model, huggingFaceSiglipRules(model), where) };
}
