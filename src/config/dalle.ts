// Configuration of `mm train-dalle`: DALL·E's second stage (arXiv 2102.12092, section 2.2 and appendix B).

import { z } from 'zod';
import {
  emaSchema,
  loopSchedule,
  optimizer,
  positiveInteger,
  precision,
  seed,
  validationShare,
} from './fields.ts';

export const ATTENTION_KINDS = ['full', 'row', 'column', 'conv', 'axial-row', 'conv-like'] as const;
export type AttentionKind = (typeof ATTENTION_KINDS)[number];

export const dalleModelSchema = z
  .strictObject({
    textLength: positiveInteger()
      .default(256)
      .describe('text positions; shorter captions are filled with a learned padding token of each position'),
    textVocabulary: positiveInteger().default(16384).describe('entries of the byte-pair vocabulary'),
    grid: positiveInteger().default(32).describe('image tokens on a side'),
    imageVocabulary: positiveInteger().default(8192).describe('codes of the dVAE'),
    width: positiveInteger().default(3968).describe('width of the residual stream'),
    layers: positiveInteger().default(64).describe('resblocks (attention and feed-forward)'),
    heads: positiveInteger().default(62).describe('attention heads; width must be a multiple of it'),
    attention: z
      .array(z.enum(ATTENTION_KINDS))
      .min(1)
      .default(['row', 'column', 'row', 'row'])
      .describe(
        'attention of the layers, repeated in this order; image tokens see all text in every kind (axial-row and corner are the axial_row and conv_like of DALLE-pytorch)',
      ),
    lastAttention: z
      .enum(ATTENTION_KINDS)
      .optional()
      .describe('attention of the last layer, where it differs'),
    kernelSize: positiveInteger()
      .default(11)
      .describe('odd side of the neighbourhood of conv and corner attention'),
    headWidth: positiveInteger()
      .optional()
      .describe('channels of an attention head, where they are not width / heads'),
    initialStddev: z
      .number()
      .positive()
      .default(0.02)
      .describe(
        'deviation of the weights drawn at the start; narrow models learn faster from about 1/√width, wide ones are steadier with less',
      ),
    rotary: z
      .boolean()
      .default(false)
      .describe('rotary positions of text, rows and columns in place of learned ones'),
    tokenShift: z
      .boolean()
      .default(false)
      .describe('layers see part of the channels of the tokens before, above and to the left'),
    sharedAttention: z
      .array(z.int().min(0))
      .min(1)
      .optional()
      .describe(
        'a number for each layer, repeated in this order; layers of one number share their attention',
      ),
    sharedFeedForward: z
      .array(z.int().min(0))
      .min(1)
      .optional()
      .describe('the same for the feed-forward layers'),
    tiedEmbeddings: z
      .boolean()
      .default(false)
      .describe('logits are products with the embeddings of the tokens; without weights of their own'),
    stable: z
      .boolean()
      .default(false)
      .describe(
        'for float16: smaller products in the softmax, smaller gradients of embeddings, bounded outputs',
      ),
    sandwichNorm: z.boolean().default(false).describe('a second LayerNorm at the end of each branch'),
    layerScale: z
      .boolean()
      .default(false)
      .describe('branches are multiplied by learned scales of the channels, which start small'),
    gated: z
      .boolean()
      .default(false)
      .describe('the GELU of feed-forward layers gates other channels, which takes twice as many'),
    reversible: z
      .boolean()
      .default(false)
      .describe('two residual streams, from whose ends every activation can be computed back'),
    paddingTargets: z
      .enum(['end', 'each'])
      .default('end')
      .describe('what text predicts after a caption: its end, once, or the padding token of each position'),
  })
  .superRefine((model, context) => {
    const { width, heads, kernelSize, headWidth, tokenShift, rotary } = model;
    if (tokenShift && width % 4 !== 0) {
      const message = `must be a multiple of 4 for tokenShift; received ${width}`;
      context.addIssue({ code: 'custom', path: ['width'], message });
    }
    if (rotary && (headWidth ?? width / heads) % 2 !== 0) {
      const message = `must be even for rotary positions; received ${headWidth ?? width / heads}`;
      context.addIssue({ code: 'custom', path: ['headWidth'], message });
    }
    const mixed = mixedKinds(model);
    if (mixed) context.addIssue({ code: 'custom', path: ['sharedAttention'], message: mixed });
    if (headWidth === undefined && width % heads !== 0) {
      const message = `must be a multiple of heads (${heads}); received ${width}`;
      context.addIssue({ code: 'custom', path: ['width'], message });
    }
    if (kernelSize % 2 === 0) {
      const message = `must be odd, so that it has a middle; received ${kernelSize}`;
      context.addIssue({ code: 'custom', path: ['kernelSize'], message });
    }
  })
  .describe('the joint Transformer');

/** Layers that share their attention have the same kind of it; what is wrong otherwise. */
function mixedKinds(model: {
  readonly layers: number;
  readonly attention: readonly AttentionKind[];
  readonly lastAttention?: AttentionKind | undefined;
  readonly sharedAttention?: readonly number[] | undefined;
}): string | undefined {
  const { layers, attention, lastAttention, sharedAttention: ids } = model;
  if (!ids) return undefined;
  const kinds = new Map<number, AttentionKind>();
  for (let layer = 0; layer < layers; layer++) {
    const id = ids[layer % ids.length] as number;
    const last = layer === layers - 1 ? lastAttention : undefined;
    const kind = last ?? (attention[layer % attention.length] as AttentionKind);
    const before = kinds.get(id) ?? kind;
    kinds.set(id, before);
    if (before !== kind)
      return `layers that share their attention have one kind of it; layer ${layer + 1} has ${kind}, one before it ${before}`;
  }
  return undefined;
}

const share = () => z.number().min(0).lt(1).default(0);

export const plateau = z
  .strictObject({
    patience: positiveInteger()
      .default(3)
      .describe('validations without a fall after which the step size is cut'),
    threshold: z.number().min(0).default(1e-3).describe('nats that count as a fall'),
    factor: z.number().positive().lt(1).default(0.5).describe('what a cut multiplies the step size by'),
    maxCuts: positiveInteger().default(5).describe('most cuts in a run'),
  })
  .describe('keep the peak after the warm-up and cut it when the validation loss no longer falls; no cosine');

export const blockLossScaleSchema = z
  .strictObject({
    start: z.number().positive().default(8192).describe('scale of every resblock at step 0'),
  })
  .prefault({})
  .describe('used when precision is float16: a scale of its own for the gradients of each resblock');

export const dalleSchema = z
  .strictObject({
    seed,
    data: z
      .strictObject({
        path: z
          .string()
          .optional()
          .describe(
            'images with captions, tokenized on the way: a folder with same-stem .txt captions, of several lines a random one in each epoch; WebDataset tars (a tar, a folder of them, tars-{000..012}.tar); or a CSV, TSV, JSONL or COCO list',
          ),
        tokens: z.string().optional().describe('folder of token shards written by mm tokenize'),
        dvae: z.string().describe('checkpoint of the dVAE'),
        tokenizer: z.string().describe('tokenizer.json written by mm train-bpe'),
        validation: validationShare,
        bpeDropout: z
          .number()
          .min(0)
          .lt(1)
          .default(0.1)
          .describe('share of merges left out at random when captions are encoded for training'),
        truncateCaptions: z
          .boolean()
          .default(false)
          .describe('cut captions longer than textLength in place of refusing them'),
      })
      .superRefine(({ path, tokens }, context) => {
        if ((path === undefined) === (tokens === undefined)) {
          const message = 'give either path or tokens, one of the two';
          context.addIssue({ code: 'custom', message });
        }
      })
      .describe('captioned images, or their tokens'),
    model: dalleModelSchema,
    train: z
      .strictObject({
        ...loopSchedule,
        precision,
        optimizer,
        blockLossScale: blockLossScaleSchema,
        plateau: plateau.optional(),
        ema: emaSchema.optional(),
        accumulateSteps: positiveInteger()
          .default(1)
          .describe('parts that a batch is taken in, one after the other; memory is that of one part'),
        compression: z
          .strictObject({
            rank: positiveInteger().describe(
              'columns of the factors that a matrix goes over in: more are nearer to the exact gradient, and more to send',
            ),
          })
          .optional()
          .describe(
            'workers exchange gradients of low rank (PowerSGD), and keep what that leaves out for the steps after; for slow networks; exact gradients without it',
          ),
        recompute: z
          .boolean()
          .default(false)
          .describe('keep no activations within layers and compute them again for the gradient'),
        dropout: z
          .strictObject({
            attention: share().describe('of what leaves the attention'),
            feedForward: share().describe('of the hidden channels of feed-forward layers'),
          })
          .prefault({})
          .describe('shares dropped at random in training'),
        initFrom: z
          .string()
          .optional()
          .describe('checkpoint or run whose weights a new run begins with; its text may have been shorter'),
        freeze: z
          .array(z.string())
          .default([])
          .describe('names of weights that stay as they are, or beginnings of names, such as blocks.block_1'),
        textLossWeight: z
          .number()
          .min(0)
          .default(0.125)
          .describe("weight of the text cross entropy; the image's is 1 minus it"),
        codebookInit: z
          .boolean()
          .default(false)
          .describe(
            "begin with embeddings and logits of image tokens that are near where the dVAE's codes look alike, in place of unrelated ones; short runs learn faster and carry more over to what they never saw together",
          ),
        nullCaptions: z
          .number()
          .min(0)
          .lt(1)
          .default(0)
          .describe('share of the captions replaced by padding, which sampling with guidance needs'),
        samples: z
          .strictObject({
            prompts: z
              .array(z.string())
              .default([])
              .describe('captions sampled at each validation; the first validation captions when empty'),
            count: z
              .int()
              .min(0)
              .default(4)
              .describe('images drawn at each validation when no prompts are given'),
          })
          .prefault({})
          .describe('images made while training'),
      })
      .describe('the training run'),
  })
  .superRefine(({ model, train }, context) => {
    if (train.batch % train.accumulateSteps !== 0) {
      const message = `must be a multiple of accumulateSteps (${train.accumulateSteps}); received ${train.batch}`;
      context.addIssue({ code: 'custom', path: ['train', 'batch'], message });
    }
    if (train.precision === 'float16' && train.compression) {
      const message =
        'gradients in float16 have scales that change, which what compression keeps back would not follow; use bfloat16 or float32';
      context.addIssue({ code: 'custom', path: ['train', 'precision'], message });
    }
    if (train.precision === 'float16' && (model.sharedAttention || model.sharedFeedForward)) {
      const message =
        'float16 scales the gradient of each layer apart, and layers share weights; use bfloat16 or float32';
      context.addIssue({ code: 'custom', path: ['train', 'precision'], message });
    }
  })
  .meta({ description: 'mm train-dalle', kind: 'dalle' });

/** What sampling reads of a checkpoint's configuration: converted weights have no training to describe. */
export const dalleCheckpointSchema = z.looseObject({
  model: dalleModelSchema,
  train: z.looseObject({ nullCaptions: z.number().default(0) }).prefault({}),
});

export type DalleModelConfig = z.output<typeof dalleModelSchema>;
export type DalleConfig = z.output<typeof dalleSchema>;
export type DalleCheckpointConfig = z.output<typeof dalleCheckpointSchema>;
