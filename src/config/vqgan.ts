// Configuration of a VQGAN (arXiv 2012.09841) in a converted checkpoint. mm does not train one.

import { z } from 'zod';
import { positiveInteger } from './fields.ts';
import { checkHalvings, imageSize } from './image-size.ts';

/** The image side is halved this many times: between levels. */
const MAX_LEVELS = 8;

export const vqganModelSchema = z
  .strictObject({
    architecture: z
      .literal('vqgan')
      .describe('the VQGAN of taming-transformers, latent-diffusion and diffusers (VQModel)'),
    imageSize,
    hiddenChannels: positiveInteger()
      .default(128)
      .describe('channels after the first convolution of the encoder (ch)'),
    levelChannels: z
      .array(positiveInteger())
      .min(1)
      .max(MAX_LEVELS)
      .default([128, 128, 256, 256, 512])
      .describe(
        'channels of each level, the full image first (ch × ch_mult); the grid is imageSize / 2^(levels-1) on a side',
      ),
    resnetBlocks: positiveInteger()
      .default(2)
      .describe('resblocks in a level of the encoder (num_res_blocks); the decoder has one more'),
    attentionLevels: z
      .array(positiveInteger().max(MAX_LEVELS))
      .default([5])
      .describe('levels, counted from 1, with attention after each resblock (attn_resolutions)'),
    middleAttention: z.boolean().default(true).describe('attention between the two resblocks in the middle'),
    normGroups: positiveInteger().default(32).describe('groups of the group normalization'),
    latentChannels: positiveInteger()
      .default(256)
      .describe("channels of the encoder's output and of the decoder's input (z_channels)"),
    codebookDim: positiveInteger().default(256).describe('width of a code in the codebook (embed_dim)'),
    vocabulary: positiveInteger().default(1024).describe('codes in the codebook (n_embed)'),
    hasEncoder: z
      .boolean()
      .default(true)
      .describe('whether it makes codes of images; without it, it makes images of codes alone'),
    pixels: z
      .enum(['signed', 'unit'])
      .default('signed')
      .describe("range of its pixels: from -1 to 1, or from 0 to 1 (DALL·E mini's)"),
    quantizer: z
      .enum(['nearest', 'gumbel'])
      .default('nearest')
      .describe('codes: the nearest vector of the codebook, or the largest logit (GumbelVQ)'),
  })
  .superRefine((model, context) => {
    const { imageSize, hiddenChannels, levelChannels, attentionLevels, normGroups } = model;
    const levels = levelChannels.length;
    checkHalvings(imageSize, levels - 1, `${levels} levels`, context);
    const refuse = (path: string[], message: string): void =>
      context.addIssue({ code: 'custom', path, message });
    const odd = [hiddenChannels, ...levelChannels].find((channels) => channels % normGroups !== 0);
    if (odd !== undefined)
      refuse(['normGroups'], `must divide every number of channels; received ${normGroups} for ${odd}`);
    const absent = attentionLevels.find((level) => level > levels);
    if (absent !== undefined)
      refuse(['attentionLevels'], `must be levels from 1 to ${levels}; received ${absent}`);
  })
  .describe('the VQGAN');

export type VqganConfig = z.output<typeof vqganModelSchema>;
