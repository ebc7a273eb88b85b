// open_clip_config.json, and the model configurations of open_clip's package: what weights do not tell of a model.
// Settings that change features and that mm's CLIP does not have are refused by name.

import { z } from 'zod';
import { DataError } from '../../util/errors.ts';
import { openClipPreprocessing, type Preprocessing } from './preprocessing.ts';
import { timmSiglip } from './timm.ts';

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

const integer = z.int().positive();
const off = z.union([z.literal(false), z.null()]).optional();
const anything = z.unknown().optional();
const square = z.union([integer, z.tuple([integer, integer])]).transform((size, context) => {
  if (typeof size === 'number') return size;
  if (size[0] === size[1]) return size[0];
  context.addIssue({ code: 'custom', message: `is ${size[0]} × ${size[1]}, and mm's CLIP reads squares` });
  return z.NEVER;
});

/** Settings of both towers' blocks. */
const blocks = {
  width: integer,
  mlp_ratio: z.number().positive().default(4),
  ls_init_value: z.number().nullish(),
  norm_kwargs: z
    .strictObject({ eps: z.number().positive().default(1e-5) })
    .nullish()
    .transform((kwargs) => kwargs?.eps ?? 1e-5),
  act_kwargs: z
    .strictObject({ approximate: z.enum(['none', 'tanh']).default('none') })
    .nullish()
    .transform((kwargs) => kwargs?.approximate === 'tanh'),
  block_type: z.literal('default').nullish(),
  qk_norm: off,
  scaled_cosine_attn: off,
  scale_heads: off,
  scale_attn_inner: off,
  scale_attn: off,
  scale_fc: off,
  output_tokens: anything,
};

const timm = [
  'timm_model_pretrained',
  'timm_pool',
  'timm_proj',
  'timm_proj_bias',
  'timm_drop',
  'timm_drop_path',
];
const unused = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, anything]));

const nativeVision = z.strictObject({
  ...blocks,
  ...unused([...timm, 'attn_pooler_queries', 'attn_pooler_heads', 'patch_dropout']),
  width: integer.default(768),
  layers: z.union([integer, z.array(integer).length(4)]).default(12),
  head_width: integer.default(64),
  patch_size: square.nullish(),
  image_size: square.default(224),
  attentional_pool: off,
  no_ln_pre: z.boolean().default(false),
  pos_embed_type: z.enum(['learnable', 'sin_cos_2d']).default('learnable'),
  final_ln_after_pool: z.boolean().default(false),
  pool_type: z.enum(['tok', 'avg', 'map']).default('tok'),
  timm_model_name: z.null().optional(),
});

/** SigLIP's image tower, as timm names it. */
const timmVision = z.strictObject({
  ...unused(timm),
  timm_model_name: z.string(),
  timm_pool: z.literal('map'),
  timm_proj: z.literal('none'),
  image_size: square.optional(),
});

/** A timm tower becomes one of open_clip's own, pooled by `map`. */
const visionSchema = z.unknown().transform((value, context): z.output<typeof nativeVision> => {
  const name = isObject(value) ? value.timm_model_name : undefined;
  const found = timmSiglip(name);
  const take = <T>(parsed: z.ZodSafeParseResult<T>): T => {
    if (parsed.success) return parsed.data;
    for (const { path, message } of parsed.error.issues) context.addIssue({ code: 'custom', path, message });
    return z.NEVER;
  };
  if (found === undefined) return take(nativeVision.safeParse(value));
  const given = take(timmVision.safeParse(value));
  if (given?.image_size !== undefined && given.image_size !== found.image_size)
    context.addIssue({
      code: 'custom',
      path: ['image_size'],
      message: `${name} reads ${found.image_size} pixels`,
    });
  return nativeVision.parse(found);
});

const textSchema = z.strictObject({
  ...blocks,
  ...unused(['hf_model_pretrained', 'hf_proj_type', 'hf_pooler_type', 'final_ln_after_pool']),
  width: integer.default(512),
  heads: integer.default(8),
  layers: integer.default(12),
  context_length: integer.default(77),
  vocab_size: integer.default(49408),
  hf_tokenizer_name: z.string().nullish(),
  tokenizer_mode: z.literal('').nullish(),
  tokenizer_kwargs: z
    .strictObject({
      strip_sep_token: z.boolean().default(false),
      clean: z.enum(['lower', 'whitespace', 'canonicalize']).optional(),
    })
    .nullish()
    .transform((kwargs) => kwargs ?? { strip_sep_token: false }),
  embed_cls: off,
  pad_id: z.int().min(0).default(0),
  eos_id: z.int().min(0).default(2),
  no_causal_mask: z.boolean().default(false),
  pool_type: z.enum(['argmax', 'eos', 'last']).default('argmax'),
  proj_bias: z.boolean().default(false),
  proj_type: z.enum(['linear', 'none']).default('linear'),
  hf_model_name: z.null().optional(),
});

const modelSchema = z.strictObject({
  embed_dim: integer,
  quick_gelu: z.boolean().default(false),
  vision_cfg: visionSchema,
  text_cfg: textSchema,
  custom_text: anything,
  init_logit_scale: anything,
  init_logit_bias: z.number().nullish(),
  nonscalar_logit_scale: anything,
  cast_dtype: anything,
  output_dict: anything,
});

export interface OpenClipConfig {
  readonly model: z.output<typeof modelSchema>;
  /** Undefined for a configuration of the package, which leaves it to the weights. */
  readonly preprocessing: Preprocessing | undefined;
  readonly where: string;
}

/** Whether a parsed JSON file is such a configuration, of either kind. */
export const isOpenClipConfig = (value: unknown): boolean =>
  isObject(value) && (isObject(value.model_cfg) || (isObject(value.vision_cfg) && 'embed_dim' in value));

const unsupported = (what: string, where: string): DataError =>
  new DataError(`an open_clip model that mm does not have: ${what}`, {
    code: 'E_CLIP_UNSUPPORTED',
    where,
    fix: "mm reads open_clip's models with its own ViT or ResNet image tower, or SigLIP's, and its own text tower",
  });

/** The families that have other towers or tokenizers, by what makes them others. */
function familyOf(model: Readonly<Record<string, unknown>>): string | undefined {
  const { vision_cfg: vision = {}, text_cfg: text = {} } = model as Record<string, Record<string, unknown>>;
  if ('multimodal_cfg' in model) return 'CoCa, which has a text decoder';
  const towers = [
    ...(vision.timm_model_name && !timmSiglip(vision.timm_model_name)
      ? [`its image tower is ${vision.timm_model_name} of timm`]
      : []),
    ...(text.hf_model_name ? [`its text tower is ${text.hf_model_name} of transformers`] : []),
  ];
  return towers.length > 0 ? towers.join(', and ') : undefined;
}

/**
 * Reads a configuration.
 * @param value the parsed file
 * @throws DataError naming the setting that mm's CLIP does not have
 */
export function readOpenClipConfig(value: unknown, where: string): OpenClipConfig {
  const whole = value as Readonly<Record<string, unknown>>;
  const isFolder = isObject(whole.model_cfg);
  const found = isFolder ? whole.model_cfg : whole;
  const family = familyOf(found as Readonly<Record<string, unknown>>);
  if (family !== undefined) throw unsupported(family, where);
  const parsed = modelSchema.safeParse(found);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const at = issue?.path.join('.') ?? '';
    const setting = at.split('.').reduce<unknown>((at, key) => (isObject(at) ? at[key] : undefined), found);
    const given = setting === undefined || isObject(setting) ? '' : ` is ${JSON.stringify(setting)}`;
    throw unsupported(`${at}${given} (${issue?.message})`, where);
  }
  return {
    model: parsed.data,
    preprocessing: isFolder ? openClipPreprocessing(whole.preprocess_cfg, where) : undefined,
    where,
  };
}
