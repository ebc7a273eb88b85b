// Configuration of `mm train-dvae`: DALL·E's first stage (arXiv 2102.12092, section 2.1 and appendix A).

import { z } from 'zod';
import {
  averaging,
  lossScale,
  optimizer,
  positiveInteger,
  precision,
  rhythm,
  seed,
  validationShare,
} from './fields.ts';

export const dvaeModelSchema = z
  .strictObject({
    imageSize: positiveInteger().default(256).describe('pixels on a side; the pictures are square'),
    groups: z
      .int()
      .min(2)
      .max(6)
      .default(4)
      .describe(
        'groups of resblocks; each but the last halves the picture, so the grid is imageSize / 2^(groups-1) on a side',
      ),
    blocksPerGroup: positiveInteger().default(2).describe('resblocks in a group'),
    hidden: positiveInteger()
      .multipleOf(4)
      .default(256)
      .describe('channels after the first convolution (n_hid); group g has hidden × 2^g'),
    decoderInput: positiveInteger()
      .default(128)
      .describe("channels after the decoder's first 1×1 convolution (n_init)"),
    vocabulary: positiveInteger().default(8192).describe('codes in the codebook'),
    encoderKernel: z
      .union([z.literal(1), z.literal(3)])
      .default(3)
      .describe(
        "side of the kernels in the encoder's resblocks: 3 as published; with 1 a code sees little more than its own cell, so that equal objects get equal codes whatever stands around them",
      ),
  })
  .superRefine(({ imageSize, groups }, context) => {
    const factor = 2 ** (groups - 1);
    if (imageSize % factor !== 0) {
      const message = `must be a multiple of ${factor}, which ${groups} groups halve it by; received ${imageSize}`;
      context.addIssue({ code: 'custom', path: ['imageSize'], message });
    }
  })
  .describe('the discrete VAE');

export const dvaeSchema = z
  .strictObject({
    seed,
    data: z
      .strictObject({
        path: z.string().describe('folder of pictures, flat or nested'),
        validation: validationShare,
        crop: z
          .enum(['published', 'random', 'center', 'none'])
          .default('random')
          .describe(
            "training crop: the paper's (a random square of the whole shorter side, reduced to 9/8 to 12/8 of imageSize, and of that a random square of imageSize), any random square of at least cropScale, the central square, or the picture squeezed to a square",
          ),
        cropScale: z
          .number()
          .gt(0)
          .max(1)
          .default(0.4)
          .describe('smallest side of the crop `random`, as a share of the shorter side'),
        flip: z
          .boolean()
          .default(true)
          .describe('mirror half of the training pictures, drawn anew each time'),
      })
      .describe('where the pictures are and how they are cropped'),
    model: dvaeModelSchema,
    train: z
      .strictObject({
        ...rhythm,
        precision,
        lossScale,
        optimizer,
        averaging: averaging.optional(),
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
                'β at the end of the ramp. It multiplies the KL of a whole picture: in nats (natural logarithm), summed over all positions of the grid, mean over the batch, against the uniform prior over the codebook. The loss is (−ln p(x|z) + β · KL) / (pixels × channels), so the mean KL of one position weighs β · grid² / (pixels × channels), at the published sizes β / 192. metrics.jsonl has both terms without β: `reconstruction`, −ln p(x|z) / (pixels × channels), and `kl`, KL of a picture',
              ),
            steps: z.int().min(0).default(5000).describe('updates of the linear ramp of β from 0'),
          })
          .prefault({})
          .describe('weight of the KL term'),
        minLogScale: z
          .number()
          .optional()
          .describe(
            'least ln b of the logit-Laplace likelihood; none without this key, as published. Where pictures have flat backgrounds, their precision would otherwise take most of the gradient',
          ),
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
            pictures: positiveInteger().default(1024).describe('pictures whose features are clustered'),
            learningRate: z.number().positive().default(2e-3).describe('step size of the autoencoder'),
          })
          .optional()
          .describe(
            "start the codebook from k-means centres of an autoencoder's features, so that it does not collapse; off without this key",
          ),
      })
      .describe('the training run'),
  })
  .describe('mm train-dvae');

export type DvaeModelConfig = z.output<typeof dvaeModelSchema>;
export type DvaeConfig = z.output<typeof dvaeSchema>;
