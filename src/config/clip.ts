// Configuration of `mm train-clip`: contrastive pretraining (CLIP, arXiv 2103.00020).

import { z } from 'zod';
import {
  activation,
  changedKeys,
  givenTextTower,
  HEAD_WIDTH,
  imageTower,
  RESNET_GROWTH,
  RESNET_STRIDE,
  TEXT_KEYS,
  textTower,
  VIT_KEYS,
} from './clip-towers.ts';
import {
  captionedSource,
  emaSchema,
  loopSchedule,
  optimizer,
  positiveInteger,
  recompute,
  seed,
  shuffle,
  sourceKeys,
  truncateCaptions,
  validationShare,
} from './fields.ts';

const attentionWidth = ({ tower, width }: { tower: 'vit' | 'resnet'; width: number }): number =>
  tower === 'vit' ? width : width * RESNET_GROWTH;
const defaultHeads = (width: number): number => Math.max(1, Math.floor(width / HEAD_WIDTH));

const modelShape = {
  architecture: z
    .enum(['openai', 'dalle-pytorch'])
    .default('openai')
    .describe("towers: openai's, as published, or those of DALLE-pytorch's CLIP")
    .meta({
      note: 'The text tower of openai is causal and read at its end token. Both towers of dalle-pytorch are Transformers without a causal mask, read as the mean of their positions; padding is masked.',
    }),
  embedding: positiveInteger().default(512).describe('width of the space that images and texts share'),
  loss: z
    .enum(['softmax', 'sigmoid'])
    .default('softmax')
    .describe("loss of the pairs: softmax over the batch (CLIP), or each pair's sigmoid (SigLIP)")
    .meta({
      note: 'sigmoid (arXiv 2303.15343) learns a bias of the logits beside their scale, and its probabilities are sigmoids: each image and text for itself.',
    }),
  activation: activation
    .default('quick-gelu')
    .describe(
      "activation of the resblocks (openai): x·σ(1.702x) as published, the exact GELU, or GELU's approximation by tanh",
    ),
  image: imageTower.prefault({}),
};

interface Towers {
  readonly architecture: 'openai' | 'dalle-pytorch';
  readonly embedding: number;
  readonly image: z.output<typeof imageTower>;
  readonly text: z.output<typeof givenTextTower>;
}

function checkTowers({ architecture, embedding, image, text }: Towers, context: z.RefinementCtx): void {
  const refuse = (path: string[], message: string): void =>
    context.addIssue({ code: 'custom', path, message });
  const stride = image.tower === 'vit' ? image.patch : RESNET_STRIDE;
  const isCut = image.tower === 'vit' && image.pool === 'map';
  if (isCut ? image.size < stride : image.size % stride !== 0) {
    const cause = image.tower === 'vit' ? 'patch' : 'the stride of a resnet';
    const wanted = isCut ? `at least ${stride}` : `a multiple of ${stride}`;
    refuse(['image', 'size'], `must be ${wanted}, ${cause}; received ${image.size}`);
  }
  const isDallePytorch = architecture === 'dalle-pytorch';
  if (isDallePytorch || image.tower === 'resnet') {
    const kind = isDallePytorch ? 'architecture dalle-pytorch' : 'a resnet';
    for (const key of changedKeys(image, VIT_KEYS)) refuse(['image', key], `is not a setting of ${kind}`);
  }
  if (isDallePytorch) {
    for (const key of changedKeys(text, TEXT_KEYS))
      refuse(['text', key], 'is not a setting of architecture dalle-pytorch');
    if (image.tower !== 'vit') refuse(['image', 'tower'], 'must be vit for architecture dalle-pytorch');
    return; // its heads are 64 wide whatever the width
  }
  for (const [name, id = 0] of Object.entries(text.specialTokens ?? {}))
    if (id >= (text.vocabulary ?? Number.POSITIVE_INFINITY))
      refuse(
        ['text', 'specialTokens', name],
        `must be below the vocabulary, ${text.vocabulary}; received ${id}`,
      );
  if (text.specialTokens && text.specialTokens.end === undefined && text.pool === 'end')
    refuse(['text', 'specialTokens', 'end'], 'is missing, and pool: end reads the features at it');
  for (const [name, tower] of Object.entries({ image, text }))
    if (tower.projection === 'none' && tower.width !== embedding)
      refuse(
        [name, 'width'],
        `must be embedding, ${embedding}, with projection: none; received ${tower.width}`,
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
    refuse(['image', 'width'], `must be even, because the stem has half of it; received ${image.width}`);
  if (text.length < 3)
    refuse(['text', 'length'], `must hold start, end and a token; received ${text.length}`);
  if (text.vocabulary !== undefined && text.vocabulary < 3)
    refuse(['text', 'vocabulary'], `must hold start, end and a token; received ${text.vocabulary}`);
}

/** Keys in one order, given or not: a resumed run compares its configuration with that of the first session. */
const withHeads = <M extends Pick<Towers, 'image' | 'text'>>({ image, text, ...model }: M) => {
  const { heads: imageHeads, ...imageKeys } = image;
  const { heads: textHeads, ...textKeys } = text as M['text'];
  return {
    ...model,
    image: { ...imageKeys, heads: imageHeads ?? defaultHeads(attentionWidth(image)) },
    text: { ...textKeys, heads: textHeads ?? defaultHeads(text.width) },
  };
};

/** A whole model; the vocabulary is CLIP's by default. */
export const clipModelSchema = z
  .strictObject({ ...modelShape, text: textTower.prefault({}) })
  .superRefine(checkTowers)
  .transform(withHeads)
  .describe('the two towers');

/** A model as a configuration gives it: without the size of its tokenizer's vocabulary. */
export const givenClipModelSchema = z
  .strictObject({ ...modelShape, text: givenTextTower.prefault({}) })
  .superRefine(checkTowers)
  .transform(withHeads)
  .describe('the two towers');

const data = z
  .strictObject({
    path: captionedSource,
    tokenizer: z.string().describe('tokenizer, of any kind: see docs/FORMATS.md'),
    validation: validationShare,
    shuffle,
    ...sourceKeys,
    crop: z
      .enum(['random', 'center', 'none'])
      .default('random')
      .describe(
        'crop of training images: a random square, the central square, or the whole image squeezed to a square',
      ),
    cropScale: z
      .number()
      .gt(0)
      .max(1)
      .default(1)
      .describe('least side of a random crop, as a share of the shorter side; 1 as published'),
    truncateCaptions: truncateCaptions('model.text.length'),
    zeroShot: z
      .strictObject({
        images: z.string().describe('folder with a folder of images for each class'),
        labels: z
          .string()
          .optional()
          .describe('text file with a label on each line; by default the names of the folders'),
        templates: z
          .array(z.string().includes('{label}'))
          .min(1)
          .default(['A photo of a {label}'])
          .describe('texts made of a label; the features of several are averaged'),
      })
      .optional()
      .describe('labelled images for zero-shot classification at each validation'),
  })
  .describe('captioned images');

const train = z
  .strictObject({
    ...loopSchedule,
    gradCacheChunk: positiveInteger()
      .optional()
      .describe('images in memory at a time (GradCache); without it, the whole batch')
      .meta({
        note: 'The features of the whole batch are computed first, then the gradients chunk by chunk; the update is that of the whole batch.',
      }),
    precision: z
      .enum(['float32', 'bfloat16'])
      .default('float32')
      .describe('type of matrix products and convolutions; the rest stays in float32')
      .meta({ note: 'CLIP has no float16, because it has no loss scaling.' }),
    recompute,
    optimizer,
    ema: emaSchema.optional(),
  })
  .superRefine(({ batch, gradCacheChunk }, context) => {
    if (batch < 2) {
      const message = `must be at least 2, because the other pairs are the negatives; received ${batch}`;
      context.addIssue({ code: 'custom', path: ['batch'], message });
    }
    if (gradCacheChunk !== undefined && batch % gradCacheChunk !== 0) {
      const message = `must divide batch (${batch}); received ${gradCacheChunk}`;
      context.addIssue({ code: 'custom', path: ['gradCacheChunk'], message });
    }
  })
  .describe('the training run');

const about = { description: 'mm train-clip', kind: 'clip' };

/** The resolved configuration of a run. */
export const clipSchema = z.strictObject({ seed, data, model: clipModelSchema, train }).meta(about);

/** The configuration that a run is given. */
export const givenClipSchema = z.strictObject({ seed, data, model: givenClipModelSchema, train }).meta(about);

/** The part of a checkpoint's configuration that inference reads: converted weights have nothing else. */
export const clipCheckpointSchema = z.looseObject({ model: clipModelSchema });

export type ClipModelConfig = z.output<typeof clipModelSchema>;
export type ClipImageConfig = ClipModelConfig['image'];
export type ClipTextConfig = ClipModelConfig['text'];
export type ClipConfig = z.output<typeof clipSchema>;
export type GivenClipConfig = z.output<typeof givenClipSchema>;
