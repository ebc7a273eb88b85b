// Keys that several configurations share. Every key has a description, and a long one a note: docs/CONFIG.md is
// generated from both.

import { z } from 'zod';

/** Metadata of a schema besides its description. */
declare module 'zod' {
  interface GlobalMeta {
    /** Sentences that docs/CONFIG.md prints below the table. */
    note?: string;
  }
}

export const positiveInteger = (): z.ZodNumber => z.int().positive();

export const seed = z
  .int()
  .min(0)
  .default(0)
  .describe('seed of all random numbers; the same seed repeats a run bit for bit');

export const precision = z
  .enum(['float32', 'bfloat16', 'float16'])
  .default('float32')
  .describe('type of matrix products and convolutions; the rest stays in float32')
  .meta({
    note: 'Weights, losses, the optimizer and the products next to the codes are always in float32.',
  });

export const lossScale = z
  .strictObject({
    start: z.number().positive().default(65536).describe('loss scale at step 0'),
    growEvery: positiveInteger()
      .default(2000)
      .describe('finite updates after which the scale doubles; an overflow halves it and skips the update'),
  })
  .prefault({})
  .describe('dynamic loss scaling, used with precision float16');

/** The schedule of the learning rate; `steps` counts updates. */
export const learningRate = z
  .strictObject({
    peak: z.number().positive().describe('highest learning rate, reached after the warm-up'),
    end: z.number().min(0).default(0).describe('learning rate at the end of the cosine'),
    warmup: z.int().min(0).default(0).describe('updates of linear warm-up from 0'),
    steps: z
      .int()
      .positive()
      .optional()
      .describe('length of the cosine in updates, warm-up included; the whole run by default'),
  })
  .superRefine(({ peak, end, warmup, steps }, context) => {
    if (end > peak) {
      const message = `must not exceed peak (${peak}); received ${end}`;
      context.addIssue({ code: 'custom', path: ['end'], message });
    }
    if (steps !== undefined && warmup >= steps) {
      const message = `must be below steps (${steps}); received ${warmup}`;
      context.addIssue({ code: 'custom', path: ['warmup'], message });
    }
  })
  .describe('linear warm-up, then a cosine from peak to end');

export const optimizer = z
  .strictObject({
    learningRate,
    beta1: z.number().min(0).lt(1).default(0.9).describe('decay of the first moment'),
    beta2: z.number().min(0).lt(1).default(0.999).describe('decay of the second moment'),
    epsilon: z.number().positive().default(1e-8).describe('added to the square root of the second moment'),
    weightDecay: z
      .number()
      .min(0)
      .default(0)
      .describe(
        'decoupled weight decay (AdamW), multiplied by the learning rate; not on gains, biases and embeddings',
      ),
    clipNorm: z
      .number()
      .positive()
      .optional()
      .describe('largest norm of the gradient over all weights; without it, no clipping'),
  })
  .describe('Adam with decoupled weight decay');

export const emaSchema = z
  .strictObject({
    decay: z.number().min(0).lt(1).describe('share of the old EMA kept at each of its updates'),
    every: z.int().positive().default(1).describe('steps between updates of the EMA'),
  })
  .describe('EMA, an exponential moving average of the weights; used for validation and samples');

/** When a run logs, validates and saves. */
export const loopSchedule = {
  steps: z.int().positive().describe('updates in the run'),
  batch: z.int().positive().describe('examples in an update, over all workers'),
  logEvery: z.int().positive().default(10).describe('steps between training lines in metrics.jsonl'),
  evaluateEvery: z.int().positive().default(500).describe('steps between validations and sample images'),
  saveEvery: z.int().positive().default(500).describe('steps between checkpoints'),
  keep: z.int().positive().default(2).describe('checkpoints kept, the newest ones'),
};

export const validationShare = z
  .number()
  .min(0)
  .lt(1)
  .default(0.05)
  .describe('share of the examples held out for validation, selected by a hash of their names');

const SOURCES =
  'a folder, WebDataset tars (a tar, a folder of them, tars-{000..012}.tar), or a CSV, TSV, JSONL or COCO list';

/** Images without captions. */
export const imageSource = z.string().describe(`images: ${SOURCES}`);

/** Images with captions. */
export const captionedSource = z.string().describe(`images with captions: ${SOURCES}`).meta({
  note: 'In a folder, the captions of an image are the lines of the .txt file with its name. Each epoch picks one of them at random.',
});

/** When a data set is read shard by shard, and how it is shuffled then. */
export const shuffle = z
  .strictObject({
    whole: positiveInteger()
      .default(200_000)
      .describe('images up to which a data set is listed in memory and shuffled as a whole')
      .meta({
        note: 'A larger data set of tars is read shard by shard: an epoch visits the tars in a shuffled order, a few of them at a time. Its images are counted once; the counts are in the cache folder.',
      }),
    buffer: positiveInteger()
      .default(16_384)
      .describe('images of a larger data set that are shuffled together, at least two batches'),
  })
  .prefault({})
  .describe('shuffling of large data sets');

export type ShuffleConfig = z.output<typeof shuffle>;

export const truncateCaptions = (length: string) =>
  z.boolean().default(false).describe(`cut captions longer than ${length}; otherwise they are an error`);
