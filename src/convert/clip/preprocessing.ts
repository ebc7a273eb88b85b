// The preprocessing of a CLIP's images, as the files of open_clip and transformers describe it, or by name.

import { z } from 'zod';
import type { ClipImageConfig } from '../../config/clip.ts';
import { OPENAI_MEAN, OPENAI_STDDEV } from '../../config/clip-towers.ts';
import { DataError } from '../../util/errors.ts';

export type Preprocessing = Pick<ClipImageConfig, 'mean' | 'stddev' | 'resize' | 'interpolation' | 'fill'>;

const openai: Preprocessing = {
  mean: OPENAI_MEAN,
  stddev: OPENAI_STDDEV,
  resize: 'shortest',
  interpolation: 'bicubic',
  fill: 0,
};

const inception: Preprocessing = { ...openai, mean: [0.5, 0.5, 0.5], stddev: [0.5, 0.5, 0.5] };

/** The kinds that open_clip's published weights of these towers need (open_clip, pretrained.py). */
export const PREPROCESSINGS = {
  openai,
  inception,
  siglip: { ...inception, resize: 'squash' },
  dfn: { ...openai, resize: 'squash' },
  clipa: {
    mean: [0.485, 0.456, 0.406],
    stddev: [0.229, 0.224, 0.225],
    resize: 'squash',
    interpolation: 'bilinear',
    fill: 0,
  },
} as const satisfies Record<string, Preprocessing>;

/** What each is used for, for messages. */
export const PREPROCESSING_HINTS =
  '`openai` (most models), `inception` (mean and deviation 0.5: ViT-L-14 of laion2b_s32b_b82k), `siglip` (the same, squashed), `dfn` (squashed: DFN5B, MetaCLIP 2), `clipa` (CLIPA)';

const unsupported = (what: string, where: string): DataError =>
  new DataError(`a preprocessing that mm does not have: ${what}`, {
    code: 'E_CLIP_PREPROCESSING',
    where,
    fix: `choose one yourself with \`preprocessing\`: ${Object.keys(PREPROCESSINGS).join(', ')}`,
  });

function parse<T extends z.ZodType>(schema: T, value: unknown, where: string): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw unsupported(`${issue?.path.join('.') || 'the file'}: ${issue?.message}`, where);
}

/** One number for all channels, or one for each. */
const channels = (number: z.ZodNumber) =>
  z.union([z.array(number).length(3), number.transform((value) => [value, value, value])]);

const openClipSchema = z.object({
  mode: z.literal('RGB').optional(),
  mean: channels(z.number()).nullish(),
  std: channels(z.number().positive()).nullish(),
  interpolation: z.enum(['bicubic', 'bilinear']).nullish(),
  resize_mode: z.enum(['shortest', 'longest', 'squash']).nullish(),
  fill_color: z.int().min(0).max(255).nullish(),
});

/**
 * `preprocess_cfg` of open_clip_config.json; what it leaves out is as open_clip has it by default.
 * @throws DataError when mm has no such preprocessing
 */
export function openClipPreprocessing(value: unknown, where: string): Preprocessing {
  const parsed = parse(openClipSchema, value ?? {}, where);
  return {
    mean: parsed.mean ?? openai.mean,
    stddev: parsed.std ?? openai.stddev,
    resize: parsed.resize_mode ?? openai.resize,
    interpolation: parsed.interpolation ?? openai.interpolation,
    fill: parsed.fill_color ?? openai.fill,
  };
}

/** Pillow's numbers of interpolations. */
export const INTERPOLATIONS = { 2: 'bilinear', 3: 'bicubic' } as const;
const side = z.int().positive();
const sides = z.object({ height: side, width: side });
const huggingFaceSchema = z.object({
  image_processor_type: z.string().optional(),
  feature_extractor_type: z.string().optional(),
  do_resize: z.literal(true).default(true),
  size: z.union([side, z.object({ shortest_edge: side }), sides]).default(224),
  resample: z
    .literal([2, 3])
    .default(3)
    .transform((number) => INTERPOLATIONS[number]),
  do_center_crop: z.boolean().default(true),
  crop_size: z.union([side, sides]).default(224),
  do_rescale: z.literal(true).default(true),
  rescale_factor: z
    .number()
    .refine((factor) => Math.abs(factor * 255 - 1) < 1e-6, 'is not 1/255')
    .default(1 / 255),
  do_normalize: z.boolean().default(true),
  image_mean: channels(z.number()).default(OPENAI_MEAN),
  image_std: channels(z.number().positive()).default(OPENAI_STDDEV),
});

/** SiglipImageProcessor's, which crops nothing. */
const siglipSchema = huggingFaceSchema.extend({
  size: sides.default({ height: 224, width: 224 }),
  do_center_crop: z.literal(false).default(false),
  image_mean: channels(z.number()).default(PREPROCESSINGS.siglip.mean),
  image_std: channels(z.number().positive()).default(PREPROCESSINGS.siglip.stddev),
});

const PROCESSORS = {
  clip: { schema: huggingFaceSchema, name: /^CLIP(ImageProcessor|FeatureExtractor)(Fast|Pil)?$/ },
  siglip: { schema: siglipSchema, name: /^SiglipImageProcessor(Fast|Pil)?$/ },
} as const;

/**
 * transformers' preprocessor_config.json; what it leaves out is as the model's image processor has it by default.
 * @param imageSize pixels on a side that the model reads
 * @throws DataError when mm has no such preprocessing, or it gives images of another size
 */
export function huggingFacePreprocessing(
  value: unknown,
  model: keyof typeof PROCESSORS,
  imageSize: number,
  where: string,
): Preprocessing {
  const { schema, name } = PROCESSORS[model];
  const parsed = parse<typeof huggingFaceSchema | typeof siglipSchema>(schema, value, where);
  for (const key of ['image_processor_type', 'feature_extractor_type'] as const) {
    const type = parsed[key];
    if (type !== undefined && !name.test(type)) throw unsupported(`${key} ${type}`, where);
  }
  const { size, crop_size: crop, do_center_crop: isCropped } = parsed;
  const isSquare = (found: z.output<typeof side> | z.output<typeof sides>): boolean =>
    typeof found === 'number' ? found === imageSize : found.height === imageSize && found.width === imageSize;
  const isSquashed = typeof size === 'object' && 'height' in size;
  const shorter = typeof size === 'object' && 'shortest_edge' in size ? size.shortest_edge : size;
  const fits = isSquashed ? isSquare(size) : shorter === imageSize && isCropped;
  if (!fits || (isCropped && !isSquare(crop)))
    throw unsupported(
      `size ${JSON.stringify(size)} and ${isCropped ? `crop_size ${JSON.stringify(crop)}` : 'no crop'}, where the model reads ${imageSize} pixels on a side`,
      where,
    );
  return {
    mean: parsed.do_normalize ? parsed.image_mean : [0, 0, 0],
    stddev: parsed.do_normalize ? parsed.image_std : [1, 1, 1],
    resize: isSquashed ? 'squash' : 'shortest',
    interpolation: parsed.resample,
    fill: 0,
  };
}
