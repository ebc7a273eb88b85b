// Pieces that several configurations share. Every key has a description; the docs are generated from it.

import { z } from 'zod';

export const positiveInteger = (): z.ZodNumber => z.int().positive();

export const seed = z
  .int()
  .min(0)
  .default(0)
  .describe('keys every random stream; the same seed repeats a run bit for bit');

export const precision = z
  .enum(['float32', 'bfloat16', 'float16'])
  .default('float32')
  .describe(
    'type of matrix products and convolutions; weights, losses, the optimizer and the products next to the codes stay in float32',
  );

export const lossScale = z
  .strictObject({
    start: z.number().positive().default(65536).describe('scale at step 0'),
    growEvery: positiveInteger()
      .default(2000)
      .describe('finite updates after which the scale doubles; an overflow halves it and skips the update'),
  })
  .prefault({})
  .describe('dynamic loss scaling, used when precision is float16');

/** A value that changes over the run; `steps` counts updates. */
export const learningRate = z
  .strictObject({
    peak: z.number().positive().describe('highest step size, reached after the warm-up'),
    end: z.number().min(0).default(0).describe('step size at the end of the cosine'),
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
    epsilon: z.number().positive().default(1e-8).describe('added to the root of the second moment'),
    weightDecay: z
      .number()
      .min(0)
      .default(0)
      .describe('decoupled weight decay, times the step size; not on gains, biases and embeddings'),
    clipNorm: z
      .number()
      .positive()
      .optional()
      .describe('largest norm of the whole gradient; no clipping without it'),
  })
  .describe('Adam with decoupled weight decay');

export const emaSchema = z
  .strictObject({
    decay: z.number().min(0).lt(1).describe('share of the old average kept at each update of it'),
    every: z.int().positive().default(1).describe('steps between updates of the average'),
  })
  .describe('exponentially weighted average of the iterates; used for validation and samples');

/** When a run reports, looks at itself and saves. */
export const loopSchedule = {
  steps: z.int().positive().describe('updates in the run'),
  batch: z.int().positive().describe('examples in an update'),
  logEvery: z.int().positive().default(10).describe('steps between lines in metrics.jsonl'),
  evaluateEvery: z.int().positive().default(500).describe('steps between validations and sample images'),
  saveEvery: z.int().positive().default(500).describe('steps between checkpoints'),
  keep: z.int().positive().default(2).describe('newest checkpoints kept; the last of the run always is'),
};

export const validationShare = z
  .number()
  .min(0)
  .lt(1)
  .default(0.05)
  .describe('share of the examples held out for validation, chosen by a hash of their names');
