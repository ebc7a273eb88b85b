// Configuration of `mm train-dvae`: DALL·E's first stage (arXiv 2102.12092, section 2.1 and appendix A).

import { z } from 'zod';
import {
  accumulateSteps,
  checkParts,
  emaSchema,
  imageSource,
  loopSchedule,
  lossScale,
  optimizer,
  positiveInteger,
  precision,
  seed,
  shuffle,
  sourceKeys,
  validationShare,
} from './fields.ts';
import { checkHalvings, imageSize } from './image-size.ts';
import { vqganModelSchema } from './vqgan.ts';

/** Its losses (a discriminator, and features of a VGG) are not there. */
const VQGAN_NOT_TRAINED =
  'mm does not train a VQGAN; mm convert reads one that taming-transformers, latent-diffusion or diffusers trained, ' +
  'and mm train-dalle takes it as its dVAE. Train openai or dalle-pytorch here';

export const openaiModelSchema = z
  .strictObject({
    architecture: z
      .literal('openai')
      .default('openai')
      .describe("the published dVAE, as in openai/DALL-E's release")
      .meta({ refused: { vqgan: VQGAN_NOT_TRAINED } }),
    imageSize,
    groups: z
      .int()
      .min(2)
      .max(6)
      .default(4)
      .describe(
        'groups of resblocks; each but the last halves the image: the grid is imageSize / 2^(groups-1) on a side',
      ),
    blocksPerGroup: positiveInteger().default(2).describe('resblocks in a group'),
    hiddenChannels: positiveInteger()
      .multipleOf(4)
      .default(256)
      .describe('channels after the first convolution (n_hid); group g has hiddenChannels × 2^g'),
    decoderInput: positiveInteger()
      .default(128)
      .describe("channels after the decoder's first 1×1 convolution (n_init)"),
    vocabulary: positiveInteger().default(8192).describe('codes in the codebook'),
    inputKernel: positiveInteger().default(7).describe("side of the encoder's first kernel, odd"),
    encoderKernel: z
      .union([z.literal(1), z.literal(3)])
      .default(3)
      .describe("side of the kernels in the encoder's resblocks: 3 as published, or 1")
      .meta({
        note: 'With 1, a code depends on little more than its own cell of the grid, so equal objects get equal codes whatever is around them.',
      }),
  })
  .superRefine(({ imageSize, groups }, context) =>
    checkHalvings(imageSize, groups - 1, `${groups} groups`, context),
  )
  .describe('the discrete VAE');

const perChannel = z.array(z.number()).length(3).default([0.5, 0.5, 0.5]);

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
      .describe('decode one-hot codes, with the gradient of the relaxed ones (straight_through)'),
    reinmax: z
      .boolean()
      .default(false)
      .describe('second-order gradient for straightThrough (ReinMax, arXiv 2304.08612, algorithm 2)'),
    normalization: z
      .strictObject({
        means: perChannel.describe('subtracted from red, green and blue in [0, 1]'),
        stds: perChannel.describe(
          'divides after the mean is subtracted; means 0 and stds 1 turn normalization off',
        ),
      })
      .prefault({})
      .describe('normalization of the images (normalization)'),
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

/** The dVAEs that mm trains. */
export const trainedModelSchema = z
  .discriminatedUnion('architecture', [openaiModelSchema, dallePytorchModelSchema])
  .describe('the discrete VAE');

/** Every dVAE that a checkpoint may hold. */
export const dvaeModelSchema = z.discriminatedUnion('architecture', [
  openaiModelSchema,
  dallePytorchModelSchema,
  vqganModelSchema,
]);

export const dvaeSchema = z
  .strictObject({
    seed,
    data: z
      .strictObject({
        path: imageSource,
        validation: validationShare,
        shuffle,
        ...sourceKeys,
        crop: z
          .enum(['published', 'random', 'center', 'none'])
          .default('random')
          .describe(
            "crop of training images: the paper's, a random square, the central square, or the whole image squeezed to a square",
          )
          .meta({
            note: 'The published crop takes a random square of the whole shorter side, resizes it to between 9/8 and 12/8 of imageSize, and takes a random square of imageSize from that. The random crop takes any square whose side is at least cropScale of the shorter side.',
          }),
        cropScale: z
          .number()
          .gt(0)
          .max(1)
          .default(0.4)
          .describe('least side of a random crop, as a share of the shorter side'),
        flip: z
          .boolean()
          .default(true)
          .describe('mirror half of the training images, picked at random each time'),
      })
      .describe('images and their crops'),
    model: trainedModelSchema,
    train: z
      .strictObject({
        ...loopSchedule,
        precision,
        lossScale,
        optimizer,
        ema: emaSchema.optional(),
        accumulateSteps,
        temperature: z
          .strictObject({
            start: z.number().positive().default(1).describe('Gumbel-softmax temperature at step 0'),
            end: z.number().positive().default(0.0625).describe('temperature at the end of the schedule'),
            steps: z
              .int()
              .positive()
              .optional()
              .describe('updates of the cosine from start to end; the whole run by default'),
          })
          .prefault({})
          .describe('temperature τ of the relaxation'),
        kl: z
          .strictObject({
            weight: z
              .number()
              .min(0)
              .default(6.6)
              .describe('weight β of the KL at the end of the ramp')
              .meta({
                note: 'The KL is that of a whole image in nats: summed over the positions of the grid, averaged over the batch, against the uniform prior over the codebook. The loss is (−ln p(x|z) + β · KL) / (pixels × channels). The mean KL of one position thus has the weight β · grid² / (pixels × channels), which is β / 192 at the published sizes. metrics.jsonl has both terms without β: `reconstruction` is −ln p(x|z) / (pixels × channels), `kl` the KL of an image. With architecture dalle-pytorch, β is kl_div_loss_weight of DALLE-pytorch: the loss is the reconstruction loss + β · KL, and KL is summed over the batch too, because its mean divides by 1. Use a small β or 0 there.',
              }),
            steps: z.int().min(0).default(5000).describe('updates of the linear ramp of β from 0'),
          })
          .prefault({})
          .describe('weight of the KL term'),
        minLogScale: z
          .number()
          .optional()
          .describe('least ln b of the logit-Laplace likelihood; without it, none, as published')
          .meta({
            note: 'Without a least value, the precision on flat backgrounds takes most of the gradient.',
          }),
        codebook: z
          .strictObject({
            warnBelow: z
              .number()
              .min(0)
              .max(1)
              .default(0.1)
              .describe(
                "warn after a validation whose perplexity is below this share of an evenly used codebook's; 0 never warns",
              ),
            revive: z
              .strictObject({
                every: positiveInteger().describe(
                  'updates in a window; codes that never occurred in it are revived at its end',
                ),
              })
              .optional()
              .describe('revival of dead codes')
              .meta({
                note: 'A dead code becomes the twin of a code in use, picked in proportion to its use, and decodes to the same at first.',
              }),
          })
          .prefault({})
          .describe('health of the codebook'),
        warmStart: z
          .strictObject({
            steps: positiveInteger().describe(
              'updates of a plain autoencoder before the codebook is initialized',
            ),
            width: positiveInteger().default(16).describe('channels of the bottleneck'),
            sharpness: z
              .number()
              .positive()
              .default(4)
              .describe(
                'confidence of the first codes: factor of the logits, which are negative squared distances to the centres over their mean',
              ),
            noise: z
              .number()
              .min(0)
              .default(0.1)
              .describe('noise on the bottleneck, in standard deviations of its features'),
            images: positiveInteger().default(1024).describe('images whose features are clustered'),
            learningRate: z.number().positive().default(2e-3).describe('learning rate of the autoencoder'),
          })
          .optional()
          .describe(
            "initialize the codebook with k-means centres of an autoencoder's features, against collapse",
          ),
      })
      .describe('the training run'),
  })
  .superRefine(({ model, train }, context) => {
    checkParts(train, context);
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

/** Of the dVAE that a DALL·E is trained on. */
export const dvaeArchitecture = z
  .enum(['openai', 'dalle-pytorch', 'vqgan'] satisfies DvaeModelConfig['architecture'][])
  .optional()
  .describe('architecture that the dVAE has to have; any without it');

/** The part of a checkpoint's configuration that a codec reads: converted weights have no training section. */
export const dvaeCheckpointSchema = z.looseObject({ model: dvaeModelSchema });

export type OpenaiDvaeConfig = z.output<typeof openaiModelSchema>;
export type DallePytorchDvaeConfig = z.output<typeof dallePytorchModelSchema>;
/** A dVAE that mm trains. */
export type TrainedDvaeConfig = z.output<typeof trainedModelSchema>;
export type DvaeModelConfig = z.output<typeof dvaeModelSchema>;
export type DvaeConfig = z.output<typeof dvaeSchema>;
