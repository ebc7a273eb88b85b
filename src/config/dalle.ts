// Configuration of `mm train-dalle`: DALL·E's second stage (arXiv 2102.12092, section 2.2 and appendix B).

import { z } from 'zod';
import { dalleModelSchema, type GivenDalleModelConfig, givenDalleModelSchema } from './dalle-model.ts';
import { dvaeArchitecture } from './dvae.ts';
import {
  accumulateSteps,
  captionedSource,
  checkParts,
  emaSchema,
  loopSchedule,
  optimizer,
  positiveInteger,
  precision,
  recompute,
  seed,
  shuffle,
  sourceKeys,
  truncateCaptions,
  validationShare,
} from './fields.ts';

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

const data = z
  .strictObject({
    path: captionedSource.optional(),
    tokens: z.string().optional().describe('folder of token shards of mm tokenize, instead of path'),
    dvae: z.string().describe('checkpoint or run of the dVAE'),
    dvaeArchitecture,
    tokenizer: z.string().describe('tokenizer, of any kind: see docs/FORMATS.md'),
    validation: validationShare,
    ...sourceKeys,
    shuffle,
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
  .describe('captioned images, or their tokens');

const ownOptimizer = optimizer
  .extend({
    kind: z
      .enum(['adam', 'muon'])
      .default('adam')
      .describe('what updates the matrices of the layers; the other weights are always updated by Adam')
      .meta({
        note: 'Muon replaces the momentum of each matrix (queries, keys and values separately) by the closest orthogonal matrix, and has no second moment. Its updates are as large as those of Adam, so that the learning rates are alike. It takes fewer updates, each with more products: `mm plan` counts them.',
      }),
    momentum: z.number().min(0).lt(1).default(0.95).describe('decay of the momentum of Muon'),
  })
  .describe('Adam with decoupled weight decay, or Muon and Adam');

const train = z
  .strictObject({
    ...loopSchedule,
    precision,
    optimizer: ownOptimizer,
    blockLossScale: blockLossScaleSchema,
    plateau: plateau.optional(),
    ema: emaSchema.optional(),
    accumulateSteps,
    compression: z
      .strictObject({
        rank: positiveInteger().describe(
          'rank of the PowerSGD approximation; higher is closer to the exact gradient and sends more',
        ),
      })
      .optional()
      .describe('all-reduce of low-rank gradients (PowerSGD), for slow networks; without it, exact ones')
      .meta({ note: 'Each worker adds the error of the approximation to its next gradient.' }),
    recompute,
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
      .describe('share of the training captions replaced by the empty caption; guidance needs it above 0'),
    samples: z
      .strictObject({
        prompts: z
          .array(z.string())
          .default([])
          .describe('prompts sampled at each validation; when empty, the first validation captions'),
        count: z.int().min(0).default(4).describe('images sampled at each validation when prompts is empty'),
        temperature: z.number().positive().default(1).describe('sampling temperature of these images'),
      })
      .prefault({})
      .describe('images sampled at each validation'),
  })
  .describe('the training run');

interface CheckedSections {
  readonly model: GivenDalleModelConfig;
  readonly train: z.output<typeof train>;
}

function checkSections({ model, train }: CheckedSections, context: z.RefinementCtx): void {
  checkParts(train, context);
  checkSharding({ model, train }, context);
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
}

/** Muon needs whole matrices. Weights are gathered layer by layer, where a layer is computed again. */
function checkSharding({ model, train }: CheckedSections, context: z.RefinementCtx): void {
  const refuse = (message: string): void =>
    context.addIssue({ code: 'custom', path: ['train', 'sharding'], message });
  if (train.optimizer.kind === 'muon' && train.sharding !== 'none')
    refuse(`${train.sharding} does not go with train.optimizer.kind: muon; use none, or adam`);
  if (train.sharding !== 'parameters') return;
  if (train.recompute && train.recompute !== 'full')
    refuse(`parameters needs train.recompute: full; received ${train.recompute}`);
  if (train.compression) refuse('parameters does not go with train.compression; use gradients');
  if (model.reversible) refuse('parameters does not go with model.reversible; use gradients');
  if (model.sharedAttention || model.sharedFeedForward)
    refuse('parameters does not go with shared layers; use gradients');
}

const about = { description: 'mm train-dalle', kind: 'dalle' };

/** The resolved configuration of a run. */
export const dalleSchema = z
  .strictObject({ seed, data, model: dalleModelSchema, train })
  .superRefine(checkSections)
  .meta(about);

/** The configuration that a run is given. */
export const givenDalleSchema = z
  .strictObject({ seed, data, model: givenDalleModelSchema, train })
  .superRefine(checkSections)
  .meta(about);

/** The part of a checkpoint's configuration that sampling reads: converted weights have no training section. */
export const dalleCheckpointSchema = z.looseObject({
  model: dalleModelSchema,
  train: z.looseObject({ nullCaptions: z.number().default(0) }).prefault({}),
});

export type DalleConfig = z.output<typeof dalleSchema>;
export type DalleCheckpointConfig = z.output<typeof dalleCheckpointSchema>;
export type GivenDalleConfig = z.output<typeof givenDalleSchema>;
