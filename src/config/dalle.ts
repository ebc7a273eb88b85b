// Configuration of `mm train-dalle`: DALL·E's second stage (arXiv 2102.12092, section 2.2 and appendix B).

import { z } from 'zod';
import {
  captionedSource,
  emaSchema,
  loopSchedule,
  optimizer,
  positiveInteger,
  precision,
  seed,
  truncateCaptions,
  validationShare,
} from './fields.ts';

export const ATTENTION_KINDS = ['full', 'row', 'column', 'conv', 'axial-row', 'conv-like'] as const;
export type AttentionKind = (typeof ATTENTION_KINDS)[number];

export const dalleModelSchema = z
  .strictObject({
    textLength: positiveInteger()
      .default(256)
      .describe('text positions; shorter captions are padded with a learned token for each position'),
    textVocabulary: positiveInteger().default(16384).describe('tokens of the byte-pair vocabulary'),
    grid: positiveInteger().default(32).describe('image tokens on a side of an image'),
    imageVocabulary: positiveInteger().default(8192).describe('codes of the dVAE'),
    width: positiveInteger().default(3968).describe('width of the residual stream'),
    layers: positiveInteger().default(64).describe('resblocks (attention and feed-forward)'),
    heads: positiveInteger().default(62).describe('attention heads; width must be a multiple of it'),
    attention: z
      .array(z.enum(ATTENTION_KINDS))
      .min(1)
      .default(['row', 'column', 'row', 'row'])
      .describe('attention kinds of the layers, repeated in this order')
      .meta({
        note: 'With every kind, image tokens attend to all text. The kinds axial-row and conv-like are those of DALLE-pytorch.',
      }),
    lastAttention: z
      .enum(ATTENTION_KINDS)
      .optional()
      .describe('attention kind of the last layer, where it differs'),
    kernelSize: positiveInteger()
      .default(11)
      .describe('side of the neighbourhood of conv and conv-like attention, odd'),
    headWidth: positiveInteger()
      .optional()
      .describe('channels of an attention head; by default width / heads'),
    initialStddev: z
      .number()
      .positive()
      .default(0.02)
      .describe('standard deviation of the initial weights')
      .meta({ note: 'Narrow models learn faster with about 1/√width; wide ones are more stable with less.' }),
    rotary: z
      .boolean()
      .default(false)
      .describe('rotary positions of text, rows and columns instead of learned ones'),
    tokenShift: z
      .boolean()
      .default(false)
      .describe(
        'each layer reads some channels from the previous token, or from those above and to the left',
      ),
    sharedAttention: z
      .array(z.int().min(0))
      .min(1)
      .optional()
      .describe(
        'a number for each layer, repeated in this order; layers of equal numbers share attention weights',
      ),
    sharedFeedForward: z
      .array(z.int().min(0))
      .min(1)
      .optional()
      .describe('the same for feed-forward weights'),
    tiedEmbeddings: z
      .boolean()
      .default(false)
      .describe('logits are products with the token embeddings, without separate weights'),
    stable: z
      .boolean()
      .default(false)
      .describe(
        'stability in float16: smaller products in the softmax, smaller embedding gradients, bounded outputs',
      ),
    sandwichNorm: z.boolean().default(false).describe('second LayerNorm at the end of each branch'),
    layerScale: z
      .boolean()
      .default(false)
      .describe('multiply each branch by learned scales of its channels, which start small (LayerScale)'),
    gated: z.boolean().default(false).describe('GEGLU feed-forward layers, with twice the channels'),
    reversible: z
      .boolean()
      .default(false)
      .describe('two residual streams; activations are recomputed from their ends for the gradient'),
    paddingTargets: z
      .enum(['end', 'each'])
      .default('end')
      .describe('text targets after a caption: its end, once, or the padding token of each position'),
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

/** What is wrong when layers that share attention weights differ in their kind; undefined when none do. */
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
      return `layers that share attention must have one kind of it; layer ${layer + 1} has ${kind}, an earlier one ${before}`;
  }
  return undefined;
}

const share = () => z.number().min(0).lt(1).default(0);

export const plateau = z
  .strictObject({
    patience: positiveInteger()
      .default(3)
      .describe('validations without improvement before the learning rate is cut'),
    threshold: z
      .number()
      .min(0)
      .default(1e-3)
      .describe('least decrease of the loss that counts as an improvement, in nats'),
    factor: z.number().positive().lt(1).default(0.5).describe('factor of the learning rate at a cut'),
    maxCuts: positiveInteger().default(5).describe('most cuts in a run'),
  })
  .describe('instead of the cosine: cut the learning rate when the validation loss stops decreasing');

export const blockLossScaleSchema = z
  .strictObject({
    start: z.number().positive().default(8192).describe('loss scale of every resblock at step 0'),
  })
  .prefault({})
  .describe('a separate loss scale for each resblock, used with precision float16');

export const dalleSchema = z
  .strictObject({
    seed,
    data: z
      .strictObject({
        path: captionedSource.optional(),
        tokens: z.string().optional().describe('folder of token shards of mm tokenize, instead of path'),
        dvae: z.string().describe('checkpoint or run of the dVAE'),
        tokenizer: z.string().describe('tokenizer, of any kind: see docs/FORMATS.md'),
        validation: validationShare,
        bpeDropout: z
          .number()
          .min(0)
          .lt(1)
          .default(0.1)
          .describe('share of merges skipped at random when training captions are encoded (BPE dropout)'),
        truncateCaptions: truncateCaptions('model.textLength'),
      })
      .superRefine(({ path, tokens }, context) => {
        if ((path === undefined) === (tokens === undefined)) {
          const message = 'give either path or tokens';
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
          .describe('gradient-accumulation steps per update; memory is that of one micro-batch'),
        compression: z
          .strictObject({
            rank: positiveInteger().describe(
              'rank of the PowerSGD approximation; higher is closer to the exact gradient and sends more',
            ),
          })
          .optional()
          .describe('all-reduce of low-rank gradients (PowerSGD), for slow networks; without it, exact ones')
          .meta({ note: 'Each worker adds the error of the approximation to its next gradient.' }),
        recompute: z
          .boolean()
          .default(false)
          .describe('activation checkpointing: recompute the activations within layers for the gradient'),
        dropout: z
          .strictObject({
            attention: share().describe('share of the outputs of attention layers'),
            feedForward: share().describe('share of the hidden channels of feed-forward layers'),
          })
          .prefault({})
          .describe('dropout in training'),
        initFrom: z
          .string()
          .optional()
          .describe('initialize from this checkpoint or run; its textLength may be shorter'),
        freeze: z
          .array(z.string())
          .default([])
          .describe('frozen weights, by name or name prefix, such as blocks.block_1'),
        textLossWeight: z
          .number()
          .min(0)
          .default(0.125)
          .describe('weight of the text cross-entropy; the image tokens have the rest, 1 minus it'),
        codebookInit: z
          .boolean()
          .default(false)
          .describe("initialize embeddings and logits of image tokens by the similarity of the dVAE's codes")
          .meta({
            note: 'Codes that look alike get similar embeddings and logits instead of unrelated ones. Short runs learn faster and generalize better to combinations that are not in the training data.',
          }),
        nullCaptions: z
          .number()
          .min(0)
          .lt(1)
          .default(0)
          .describe(
            'share of the training captions replaced by the empty caption; guidance needs it above 0',
          ),
        samples: z
          .strictObject({
            prompts: z
              .array(z.string())
              .default([])
              .describe('prompts sampled at each validation; when empty, the first validation captions'),
            count: z
              .int()
              .min(0)
              .default(4)
              .describe('images sampled at each validation when prompts is empty'),
          })
          .prefault({})
          .describe('images sampled at each validation'),
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
        'float16 does not go with compression, whose error feedback cannot follow a changing loss scale; use bfloat16 or float32';
      context.addIssue({ code: 'custom', path: ['train', 'precision'], message });
    }
    if (train.precision === 'float16' && (model.sharedAttention || model.sharedFeedForward)) {
      const message =
        'float16 does not go with shared layers, because each layer has its own loss scale; use bfloat16 or float32';
      context.addIssue({ code: 'custom', path: ['train', 'precision'], message });
    }
  })
  .meta({ description: 'mm train-dalle', kind: 'dalle' });

/** The part of a checkpoint's configuration that sampling reads: converted weights have no training section. */
export const dalleCheckpointSchema = z.looseObject({
  model: dalleModelSchema,
  train: z.looseObject({ nullCaptions: z.number().default(0) }).prefault({}),
});

export type DalleModelConfig = z.output<typeof dalleModelSchema>;
export type DalleConfig = z.output<typeof dalleSchema>;
export type DalleCheckpointConfig = z.output<typeof dalleCheckpointSchema>;
