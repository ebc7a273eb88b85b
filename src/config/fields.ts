// Keys that several configurations share. Every key has a description, and a long one a note: docs/CONFIG.md is
// generated from both.

import { z } from 'zod';
import { parseShare } from './share.ts';

/** Metadata of a schema besides its description. */
declare module 'zod' {
  interface GlobalMeta {
    /** Sentences that docs/CONFIG.md prints below the table. */
    note?: string;
    /** What stands for the default of a key without one. */
    otherwise?: string;
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
    hold: z.int().min(0).default(0).describe('updates at the peak between the warm-up and the cosine'),
    steps: z.int().positive().optional().describe('length of all this in updates; the whole run by default'),
  })
  .superRefine(({ peak, end, warmup, hold, steps }, context) => {
    if (end > peak) {
      const message = `must not exceed peak (${peak}); received ${end}`;
      context.addIssue({ code: 'custom', path: ['end'], message });
    }
    if (steps !== undefined && warmup + hold >= steps) {
      const [key, given] =
        warmup >= steps ? ['warmup', warmup] : ['hold', `${hold} after a warm-up of ${warmup}`];
      const message = `must be below steps (${steps}); received ${given}`;
      context.addIssue({ code: 'custom', path: [key], message });
    }
  })
  .describe('linear warm-up, updates at the peak, then a cosine to the end');

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

/** Of a trainer that sums gradients over parts of a batch. */
export const accumulateSteps = positiveInteger()
  .default(1)
  .describe('gradient-accumulation steps per update; memory is that of one micro-batch');

/** Refuses a batch that has no equal parts. */
export function checkParts(
  { batch, accumulateSteps: parts }: { readonly batch: number; readonly accumulateSteps: number },
  context: z.RefinementCtx,
): void {
  if (batch % parts === 0) return;
  const message = `must be a multiple of accumulateSteps (${parts}); received ${batch}`;
  context.addIssue({ code: 'custom', path: ['train', 'batch'], message });
}

/**
 * What devices divide among themselves besides the batch (ZeRO, arXiv 1910.02054, section 5): nothing, moments and EMA,
 * these and the gradients, or these and the weights.
 */
export const SHARDINGS = ['none', 'optimizer', 'gradients', 'parameters'] as const;
export type Sharding = (typeof SHARDINGS)[number];

/** Which activations are computed again for the gradient instead of kept, from the fastest on. */
export const RECOMPUTES = ['none', 'light', 'full'] as const;
export type Recompute = (typeof RECOMPUTES)[number];

/** Of a configuration for which nothing has chosen: as runs computed before there was a choice. */
export const recomputeOf = ({
  recompute = 'light',
}: {
  readonly recompute?: Recompute | undefined;
}): Recompute => recompute;

/** Of a trainer whose models have Transformer layers. */
export const recompute = z
  .enum(RECOMPUTES)
  .optional()
  .describe('activations of Transformer layers that are computed again for the gradient instead of kept')
  .meta({
    otherwise: 'the fastest that fits',
    note: 'Activation checkpointing. `none` keeps all; `light` computes the cheap ones again (normalization, GELU, heads, sparse attention); `full` keeps only the input of each layer, or nothing in a reversible model. Without it, a new run takes the first of them (of a CLIP, for which `none` is no faster, of the last two) whose planned memory is at most half of the device’s (of a processor: of the machine’s or container’s, shared by the devices and workers on it), and its config.yaml has it from then on; a resumed run keeps that of the run. `mm plan` says the memory of each.',
  });

/** When a run logs, validates and saves. */
export const loopSchedule = {
  steps: z.int().positive().describe('updates in the run'),
  batch: z.int().positive().describe('examples in an update, over all workers and devices'),
  allReduce: z
    .enum(['order', 'ring', 'nccl'])
    .default('order')
    .describe('how several devices sum their gradients')
    .meta({
      note: "`order` adds them device by device: the same bits as gradient accumulation over as many parts. `ring` is TensorFlow's all-reduce, `nccl` NVIDIA's (GPUs only); their results differ in the last bits.",
    }),
  sharding: z
    .enum(SHARDINGS)
    .default('none')
    .describe('what several devices divide among themselves besides the batch (ZeRO)')
    .meta({
      note: '`optimizer`: moments and EMA; `gradients`: the sums of gradient accumulation too; `parameters`: the weights too. Results and checkpoints are the same with each. `mm train-dalle` alone has `parameters`, with `recompute: full`.',
    }),
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

/** Keys of every configuration that reads images. */
export const sourceKeys = {
  validationPath: z
    .string()
    .optional()
    .describe(
      'source of the validation examples; all of path is for training then, and validation has no effect',
    )
    .meta({ note: 'Without it, the splits of a list of Karpathy’s are taken as they are.' }),
  weights: z
    .array(z.number().positive())
    .optional()
    .describe('times that an epoch has each image of the sources in path, in their order; 1 by default')
    .meta({
      note: 'A weight of 2.5 takes every image twice, and half of them a third time, picked by a hash of their names.',
    }),
  maxBad: z
    .union([z.number().min(0).max(1), z.string().transform(toShare)])
    .optional()
    .describe('largest share of the data that may be left out as unusable, such as 1%; more is an error'),
  table: z
    .strictObject({
      imageColumn: z.string().optional().describe('column or key with the path of the image'),
      captionColumn: z.string().optional().describe('column or key with the caption'),
      separator: z
        .string()
        .refine((text) => text.length === 1, 'must be one character')
        .optional()
        .describe('character between the cells of a row'),
    })
    .prefault({})
    .describe('how lists are read; what is not given is found by looking'),
};

function toShare(text: string, context: z.RefinementCtx): number {
  const share = parseShare(text);
  if (share !== undefined) return share;
  context.addIssue({ code: 'custom', message: `must be a share such as 1% or 0.01; received ${text}` });
  return z.NEVER;
}

const SOURCES =
  'a folder, WebDataset tars (a tar, a folder of them, tars-{000..012}.tar, a URL), a CSV, TSV, JSON or COCO list, or Parquet; several are joined by ::';

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
        note: 'A larger data set of tars, or of token shards, is read shard by shard: an epoch visits the shards in a shuffled order, a few of them at a time. The images of tars are counted once; the counts are in the cache folder. `mm train-dalle` encodes more images than these into token shards in the cache folder.',
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
