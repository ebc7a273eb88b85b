// Configuration of `mm train-clip`: contrastive pretraining (CLIP, arXiv 2103.00020).

import { z } from 'zod';
import {
  changedKeys,
  HEAD,
  imageTower,
  RESNET_GROWTH,
  RESNET_STRIDE,
  TEXT_KEYS,
  textTower,
  VIT_KEYS,
} from './clip-towers.ts';
import { emaSchema, loopSchedule, optimizer, positiveInteger, seed, validationShare } from './fields.ts';

const attentionWidth = ({ tower, width }: { tower: 'vit' | 'resnet'; width: number }): number =>
  tower === 'vit' ? width : width * RESNET_GROWTH;
const defaultHeads = (width: number): number => Math.max(1, Math.floor(width / HEAD));

export const clipModelSchema = z
  .strictObject({
    architecture: z
      .enum(['openai', 'dalle-pytorch'])
      .default('openai')
      .describe(
        "openai: the published towers, text causal and read at its end token. dalle-pytorch: lucidrains' CLIP, both towers Transformers that attend everywhere, read as the mean of their positions, padding masked",
      ),
    embedding: positiveInteger().default(512).describe('width of the space that images and texts share'),
    activation: z
      .enum(['quick-gelu', 'gelu'])
      .default('quick-gelu')
      .describe('of the resblocks: x·σ(1.702x) as published, or the exact GELU (openai)'),
    image: imageTower.prefault({}),
    text: textTower.prefault({}),
  })
  .superRefine(({ architecture, image, text }, context) => {
    const refuse = (path: string[], message: string): void =>
      context.addIssue({ code: 'custom', path, message });
    const stride = image.tower === 'vit' ? image.patch : RESNET_STRIDE;
    if (image.size % stride !== 0) {
      const cause = image.tower === 'vit' ? 'patch' : 'the stride of a resnet';
      refuse(['image', 'size'], `must be a multiple of ${stride}, ${cause}; received ${image.size}`);
    }
    const isLucid = architecture === 'dalle-pytorch';
    if (isLucid || image.tower === 'resnet') {
      const kind = isLucid ? 'architecture dalle-pytorch' : 'a resnet';
      for (const key of changedKeys(image, VIT_KEYS)) refuse(['image', key], `is not a setting of ${kind}`);
    }
    if (isLucid) {
      for (const key of changedKeys(text, TEXT_KEYS))
        refuse(['text', key], `is not a setting of architecture dalle-pytorch`);
      if (image.tower !== 'vit') refuse(['image', 'tower'], 'must be vit for architecture dalle-pytorch');
      return; // its heads are 64 wide whatever the width
    }
    for (const [name, id = 0] of Object.entries(text.specialTokens ?? {}))
      if (id >= text.vocabulary)
        refuse(
          ['text', 'specialTokens', name],
          `must be below the vocabulary, ${text.vocabulary}; received ${id}`,
        );
    for (const [name, width, heads] of [
      ['image', attentionWidth(image), image.heads],
      ['text', text.width, text.heads],
    ] as const) {
      const count = heads ?? defaultHeads(width);
      if (width % count !== 0)
        refuse([name, 'heads'], `must divide the width of the attention (${width}); received ${count}`);
    }
    if (image.tower === 'resnet' && image.width % 2 !== 0)
      refuse(['image', 'width'], `must be even, because the stem begins with half; received ${image.width}`);
    if (text.length < 3)
      refuse(['text', 'length'], `must hold start, end and a token; received ${text.length}`);
    if (text.vocabulary < 3)
      refuse(['text', 'vocabulary'], `must hold start, end and a token; received ${text.vocabulary}`);
  })
  .transform(({ image: { heads: imageHeads, ...image }, text: { heads: textHeads, ...text }, ...model }) => ({
    ...model,
    // In the same order whether they were given or not: a resumed run compares its configuration with the first.
    image: { ...image, heads: imageHeads ?? defaultHeads(attentionWidth(image)) },
    text: { ...text, heads: textHeads ?? defaultHeads(text.width) },
  }))
  .describe('the two towers');

export const clipSchema = z
  .strictObject({
    seed,
    data: z
      .strictObject({
        path: z
          .string()
          .describe(
            'images with captions: a folder with same-stem .txt captions, of several lines a random one in each epoch; WebDataset tars (a tar, a folder of them, tars-{000..012}.tar); or a CSV, TSV, JSONL or COCO list',
          ),
        tokenizer: z
          .string()
          .describe("tokenizer.json of mm train-bpe or of CLIP, or CLIP's merges file (.txt, .txt.gz)"),
        validation: validationShare,
        crop: z
          .enum(['random', 'center', 'none'])
          .default('random')
          .describe(
            'training crop: a random square, the central square, or the image squeezed to the square',
          ),
        cropScale: z
          .number()
          .gt(0)
          .max(1)
          .default(1)
          .describe('smallest side of a random crop, as a share of the shorter side; 1 as published'),
        truncateCaptions: z
          .boolean()
          .default(false)
          .describe('cut captions longer than text.length in place of refusing them'),
        zeroShot: z
          .strictObject({
            images: z.string().describe('folder of images, one folder a class'),
            labels: z
              .string()
              .optional()
              .describe('file of labels, a line each; the names of the folders without it'),
            templates: z
              .array(z.string().includes('{label}'))
              .min(1)
              .default(['A photo of a {label}'])
              .describe('texts made of a label; several are averaged'),
          })
          .optional()
          .describe('labelled images that are classified at each validation; off without this key'),
      })
      .describe('captioned images'),
    model: clipModelSchema,
    train: z
      .strictObject({
        ...loopSchedule,
        gradCacheChunk: positiveInteger()
          .optional()
          .describe(
            'images in memory at a time: features of the whole batch first, then gradients chunk by chunk; the update is that of the whole batch. All at once without this key',
          ),
        precision: z
          .enum(['float32', 'bfloat16'])
          .default('float32')
          .describe(
            'type of matrix products and convolutions; weights, losses and the optimizer stay in float32. Not float16, which would need its losses scaled',
          ),
        optimizer,
        ema: emaSchema.optional(),
      })
      .superRefine(({ batch, gradCacheChunk }, context) => {
        if (batch < 2) {
          const message = `must be 2 at least, because the other pairs are the negatives; received ${batch}`;
          context.addIssue({ code: 'custom', path: ['batch'], message });
        }
        if (gradCacheChunk !== undefined && batch % gradCacheChunk !== 0) {
          const message = `must divide batch (${batch}); received ${gradCacheChunk}`;
          context.addIssue({ code: 'custom', path: ['gradCacheChunk'], message });
        }
      })
      .describe('the training run'),
  })
  .describe('mm train-clip');

/** What a checkpoint's config.yaml holds for whoever uses the model; one of converted weights holds nothing else. */
export const clipCheckpointSchema = z.looseObject({ model: clipModelSchema });

export type ClipModelConfig = z.output<typeof clipModelSchema>;
export type ClipImageConfig = ClipModelConfig['image'];
export type ClipTextConfig = ClipModelConfig['text'];
export type ClipConfig = z.output<typeof clipSchema>;
