// Configuration of `mm train-dvae`: DALL·E's first stage (arXiv 2102.12092, section 2.1 and appendix A).

import { z } from 'zod';
import {
  emaSchema,
  loopSchedule,
  lossScale,
  optimizer,
  positiveInteger,
  precision,
  seed,
  validationShare,
} from './fields.ts';

/** Each halving of the image needs an even side. */
function checkHalvings(
  imageSize: number,
  halvings: number,
  what: string,
  context: z.core.$RefinementCtx,
): void {
  const factor = 2 ** halvings;
  if (imageSize % factor === 0) return;
  const message = `must be a multiple of ${factor}, which ${what} halve it by; received ${imageSize}`;
  context.addIssue({ code: 'custom', path: ['imageSize'], message });
}

const imageSize = positiveInteger().default(256).describe('pixels on a side; the images are square');

export const openaiModelSchema = z
  .strictObject({
    architecture: z
      .literal('openai')
      .default('openai')
      .describe("the published dVAE, as in openai/DALL-E's release"),
    imageSize,
    groups: z
      .int()
      .min(2)
      .max(6)
      .default(4)
      .describe(
        'groups of resblocks; each but the last halves the image, so the grid is imageSize / 2^(groups-1) on a side',
      ),
    blocksPerGroup: positiveInteger().default(2).describe('resblocks in a group'),
    hiddenChannels: positiveInteger()
      .multipleOf(4)
      .default(256)
      .describe('channels after the first convolution (n_hid); group g has hidden × 2^g'),
    decoderInput: positiveInteger()
      .default(128)
      .describe("channels after the decoder's first 1×1 convolution (n_init)"),
    vocabulary: positiveInteger().default(8192).describe('codes in the codebook'),
    inputKernel: positiveInteger()
      .default(7)
      .describe("odd side of the kernel of the encoder's first convolution"),
    encoderKernel: z
      .union([z.literal(1), z.literal(3)])
      .default(3)
      .describe(
        "side of the kernels in the encoder's resblocks: 3 as published; with 1 a code sees little more than its own cell, so that equal objects get equal codes whatever stands around them",
      ),
  })
  .superRefine(({ imageSize, groups }, context) =>
    checkHalvings(imageSize, groups - 1, `${groups} groups`, context),
  )
  .describe('the discrete VAE');

const ofEachColour = z.array(z.number()).length(3).default([0.5, 0.5, 0.5]);

export const dallePytorchModelSchema = z
  .strictObject({
    architecture: z.literal('dalle-pytorch').describe("DALLE-pytorch's DiscreteVAE"),
    imageSize,
    layers: z
      .int()
      .min(1)
      .max(8)
      .default(3)
      .describe('convolutions of stride 2 (num_layers); the grid is imageSize / 2^layers on a side'),
    resnetBlocks: z
      .int()
      .min(0)
      .default(0)
      .describe('resblocks on either side of the codes (num_resnet_blocks)'),
    hiddenChannels: positiveInteger().default(64).describe('channels (hidden_dim)'),
    codebookDim: positiveInteger().default(512).describe('width of a code in the codebook (codebook_dim)'),
    vocabulary: positiveInteger().default(512).describe('codes in the codebook (num_tokens)'),
    reconstruction: z
      .enum(['mse', 'smooth-l1'])
      .default('mse')
      .describe('loss between normalized images: squared error, or smooth L1 (smooth_l1_loss)'),
    straightThrough: z
      .boolean()
      .default(false)
      .describe('decode one-hot codes and let gradients pass to the soft ones (straight_through)'),
    reinmax: z
      .boolean()
      .default(false)
      .describe('gradient of second order for straightThrough (arXiv 2304.08612, algorithm 2)'),
    normalization: z
      .strictObject({
        means: ofEachColour.describe('subtracted from red, green and blue in [0, 1]'),
        stds: ofEachColour.describe('then divided by; means of 0 and deviations of 1 are no normalization'),
      })
      .prefault({})
      .describe('of the images (normalization)'),
  })
  .superRefine(({ imageSize, layers, reinmax, straightThrough, normalization }, context) => {
    checkHalvings(imageSize, layers, `${layers} layers`, context);
    if (reinmax && !straightThrough) {
      const message = 'needs straightThrough: it is a gradient for one-hot codes';
      context.addIssue({ code: 'custom', path: ['reinmax'], message });
    }
    if (!normalization.stds.every((std) => std > 0)) {
      const message = `must be above 0; received ${normalization.stds.join(', ')}`;
      context.addIssue({ code: 'custom', path: ['normalization', 'stds'], message });
    }
  })
  .describe('the discrete VAE');

export const dvaeModelSchema = z
  .discriminatedUnion('architecture', [openaiModelSchema, dallePytorchModelSchema])
  .describe('the discrete VAE');

export const dvaeSchema = z
  .strictObject({
    seed,
    data: z
      .strictObject({
        path: z
          .string()
          .describe(
            'images: a folder, flat or nested; WebDataset tars (a tar, a folder of them, tars-{000..012}.tar); or a CSV, TSV, JSONL or COCO list',
          ),
        validation: validationShare,
        crop: z
          .enum(['published', 'random', 'center', 'none'])
          .default('random')
          .describe(
            "training crop: the paper's (a random square of the whole shorter side, reduced to 9/8 to 12/8 of imageSize, and of that a random square of imageSize), any random square of at least cropScale, the central square, or the image squeezed to a square",
          ),
        cropScale: z
          .number()
          .gt(0)
          .max(1)
          .default(0.4)
          .describe('smallest side of the crop `random`, as a share of the shorter side'),
        flip: z.boolean().default(true).describe('mirror half of the training images, drawn anew each time'),
      })
      .describe('where the images are and how they are cropped'),
    model: dvaeModelSchema,
    train: z
      .strictObject({
        ...loopSchedule,
        precision,
        lossScale,
        optimizer,
        ema: emaSchema.optional(),
        temperature: z
          .strictObject({
            start: z.number().positive().default(1).describe('Gumbel-softmax temperature at step 0'),
            end: z.number().positive().default(0.0625).describe('temperature at the end of the schedule'),
            steps: z
              .int()
              .positive()
              .optional()
              .describe('length of the cosine from start to end; the whole run by default'),
          })
          .prefault({})
          .describe('τ of the relaxation'),
        kl: z
          .strictObject({
            weight: z
              .number()
              .min(0)
              .default(6.6)
              .describe(
                'β at the end of the ramp. It multiplies the KL of a whole image: in nats (natural logarithm), summed over all positions of the grid, mean over the batch, against the uniform prior over the codebook. The loss is (−ln p(x|z) + β · KL) / (pixels × channels), so the mean KL of one position weighs β · grid² / (pixels × channels), at the published sizes β / 192. metrics.jsonl has both terms without β: `reconstruction`, −ln p(x|z) / (pixels × channels), and `kl`, KL of an image. With architecture dalle-pytorch, as in that program (kl_div_loss_weight): the loss is the reconstruction loss + β · KL, where KL is also summed over the images of the batch, because its mean divides by 1; use a small β or 0',
              ),
            steps: z.int().min(0).default(5000).describe('updates of the linear ramp of β from 0'),
          })
          .prefault({})
          .describe('weight of the KL term'),
        minLogScale: z
          .number()
          .optional()
          .describe(
            'least ln b of the logit-Laplace likelihood; none without this key, as published. Where images have flat backgrounds, their precision would otherwise take most of the gradient',
          ),
        codebook: z
          .strictObject({
            warnBelow: z
              .number()
              .min(0)
              .max(1)
              .default(0.1)
              .describe(
                "a validation after which the codes' perplexity is below this share of an evenly used codebook's draws a warning; 0 for none",
              ),
            revive: z
              .strictObject({
                every: positiveInteger().describe(
                  'updates in a window; at its end, codes that never occurred in it get new places',
                ),
              })
              .optional()
              .describe(
                'dead codes split codes that are in use, in proportion to their use, and are decoded like them at first. Off without this key',
              ),
          })
          .prefault({})
          .describe("the codebook's health"),
        warmStart: z
          .strictObject({
            steps: positiveInteger().describe('updates as a plain autoencoder before the codebook is set'),
            width: positiveInteger().default(16).describe('channels of the bottleneck'),
            sharpness: z
              .number()
              .positive()
              .default(4)
              .describe(
                'how sure the first codes are: the logits are squared distances to the centres over their mean, times this',
              ),
            noise: z
              .number()
              .min(0)
              .default(0.1)
              .describe('noise on the bottleneck, in standard deviations of its features'),
            images: positiveInteger().default(1024).describe('images whose features are clustered'),
            learningRate: z.number().positive().default(2e-3).describe('step size of the autoencoder'),
          })
          .optional()
          .describe(
            "start the codebook from k-means centres of an autoencoder's features, so that it does not collapse; off without this key",
          ),
      })
      .describe('the training run'),
  })
  .superRefine(({ model, train }, context) => {
    if (model.architecture === 'openai') return;
    for (const key of ['minLogScale', 'warmStart'] as const) {
      if (train[key] === undefined) continue;
      const message = `is for model.architecture openai; received ${model.architecture}`;
      context.addIssue({ code: 'custom', path: ['train', key], message });
    }
    if (train.codebook.revive !== undefined) {
      const message = `is for model.architecture openai; received ${model.architecture}`;
      context.addIssue({ code: 'custom', path: ['train', 'codebook', 'revive'], message });
    }
  })
  .meta({ description: 'mm train-dvae', kind: 'dvae' });

/** What codecs read of a checkpoint's configuration: converted weights have no training to describe. */
export const dvaeCheckpointSchema = z.looseObject({ model: dvaeModelSchema });

export type OpenaiDvaeConfig = z.output<typeof openaiModelSchema>;
export type DallePytorchDvaeConfig = z.output<typeof dallePytorchModelSchema>;
export type DvaeModelConfig = z.output<typeof dvaeModelSchema>;
export type DvaeConfig = z.output<typeof dvaeSchema>;
