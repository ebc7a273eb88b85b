// The sections of a CLIP model's configuration: its image tower and its text tower.

import { z } from 'zod';
import { positiveInteger } from './fields.ts';

/** Mean and standard deviation of red, green and blue in [0, 1] for the published models. */
export const OPENAI_MEAN = [0.48145466, 0.4578275, 0.40821073];
export const OPENAI_STDDEV = [0.26862954, 0.26130258, 0.27577711];

/** Width of an attention head where `heads` is not given. */
export const HEAD_WIDTH = 64;
/** Channels of a ResNet's last stage over those of its first. */
export const RESNET_GROWTH = 32;
/** Side of an image over that of a ResNet's feature map. */
export const RESNET_STRIDE = 32;
/** Added to the variance in the layer norms of the published models. */
const NORM_EPSILON = 1e-5;

/** Activations of the resblocks. */
export const activation = z.enum(['quick-gelu', 'gelu', 'gelu-tanh']);

/** Keys of both towers' Transformers. */
const transformer = {
  activation: activation
    .optional()
    .describe('activation of the resblocks of this tower, where it is not the one of model.activation'),
  mlpRatio: z
    .number()
    .positive()
    .default(4)
    .describe("width of the feed-forward layers' hidden channels, as a multiple of width, rounded"),
  layerScale: z
    .number()
    .positive()
    .optional()
    .describe(
      'initial value of LayerScale (arXiv 2103.17239) on both branches; no LayerScale without this key',
    ),
  normEpsilon: z
    .number()
    .positive()
    .default(NORM_EPSILON)
    .describe('added to the variance in the layer norms'),
  projection: z
    .enum(['linear', 'affine', 'none'])
    .default('linear')
    .describe('from the width of the tower to the embedding: a matrix, a matrix and a bias, or nothing'),
} as const;

export const imageTower = z
  .strictObject({
    tower: z.enum(['vit', 'resnet']).default('vit').describe('Vision Transformer, or the modified ResNet'),
    size: positiveInteger().default(224).describe('pixels on a side; the images are square'),
    patch: positiveInteger().default(32).describe('pixels on a side of a patch (vit)'),
    width: positiveInteger()
      .default(768)
      .describe('width of the residual stream (vit), or channels after the stem (resnet)'),
    layers: positiveInteger().default(12).describe('resblocks (vit)'),
    blocks: z
      .array(positiveInteger())
      .length(4)
      .default([3, 4, 6, 3])
      .describe('bottleneck blocks in the four stages (resnet)'),
    heads: positiveInteger()
      .optional()
      .describe(
        `attention heads of the resblocks (vit) or of the pooling (resnet); by default of width ${HEAD_WIDTH}`,
      ),
    mean: z
      .array(z.number())
      .length(3)
      .default(OPENAI_MEAN)
      .describe('mean of red, green and blue in [0, 1], subtracted'),
    stddev: z
      .array(z.number().positive())
      .length(3)
      .default(OPENAI_STDDEV)
      .describe('standard deviation of red, green and blue, which divides after that'),
    resize: z
      .enum(['shortest', 'longest', 'squash'])
      .default('shortest')
      .describe('the side of an image that becomes size, or both')
      .meta({
        note: 'With shortest the central square is cut out, with longest the image is padded, and squash changes its proportions. Crops of training are those of data.crop.',
      }),
    interpolation: z.enum(['bicubic', 'bilinear']).default('bicubic').describe('of the resized pixels'),
    fill: z
      .int()
      .min(0)
      .max(255)
      .default(0)
      .describe('level of the padding beside an image (resize: longest)'),
    ...transformer,
    patchBias: z.boolean().default(false).describe('a bias of the patches (vit)'),
    inputNorm: z.boolean().default(true).describe('a layer norm before the resblocks (vit)'),
    pool: z
      .enum(['class', 'mean', 'map'])
      .default('class')
      .describe(
        'the feature: of the class token, the mean of the patches, or attention to the patches (MAP) without a class token (vit)',
      )
      .meta({
        note: 'With map, size need not be a multiple of patch: the columns and rows that are left over, at the right and at the bottom, are not read.',
      }),
    normBeforePool: z
      .boolean()
      .default(false)
      .describe(
        'the last layer norm before the pooling instead of after it; with pool map it always is (vit)',
      ),
  })
  .describe('the image tower');

const textShape = {
  vocabulary: positiveInteger()
    .default(49408)
    .describe("ids: the tokenizer's, then with architecture openai the start and the end token"),
  length: positiveInteger().default(77).describe('text positions, start and end token included'),
  width: positiveInteger().default(512).describe('width of the residual stream'),
  layers: positiveInteger().default(12).describe('resblocks'),
  heads: positiveInteger().optional().describe(`attention heads; by default of width ${HEAD_WIDTH}`),
  ...transformer,
  causal: z
    .boolean()
    .default(true)
    .describe('positions attend to earlier ones alone; otherwise to all, padding included (openai)'),
  pool: z
    .enum(['end', 'last'])
    .default('end')
    .describe('the feature: of the end token, or of the last position, which is mostly padding (openai)'),
  specialTokens: z
    .strictObject({
      start: z.int().min(0).optional().describe('id before a text; none without this key'),
      end: z
        .int()
        .min(0)
        .optional()
        .describe('id after a text; none without this key, which needs pool: last'),
      padding: z.int().min(0).describe('id of the positions after the end'),
    })
    .optional()
    .describe(
      'ids around a text, for tokenizers that have their own; by default the last two of the vocabulary, padded with 0 (openai)',
    ),
};

export const textTower = z.strictObject(textShape).describe('the text tower');

/** The text tower as a configuration gives it: without the size of its tokenizer's vocabulary. */
export const givenTextTower = z
  .strictObject({
    ...textShape,
    vocabulary: positiveInteger()
      .optional()
      .describe(
        "ids: the tokenizer's, by default, then with architecture openai the start and the end token",
      ),
  })
  .describe('the text tower');

const TRANSFORMER_KEYS = {
  ...{ activation: undefined, mlpRatio: 4, layerScale: undefined, normEpsilon: NORM_EPSILON },
  projection: 'linear',
} as const;
/** Keys that only a published Transformer has. */
export const VIT_KEYS = {
  ...TRANSFORMER_KEYS,
  ...{ patchBias: false, inputNorm: true, pool: 'class', normBeforePool: false },
} as const;
export const TEXT_KEYS = {
  ...TRANSFORMER_KEYS,
  ...{ causal: true, pool: 'end', specialTokens: undefined },
} as const;

/** The keys of `section` that are not as in `defaults`. */
export const changedKeys = (
  section: Readonly<Record<string, unknown>>,
  defaults: Readonly<Record<string, unknown>>,
) => Object.keys(defaults).filter((key) => section[key] !== defaults[key]);
