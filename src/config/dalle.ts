// Configuration of `mm train-dalle`: DALL·E's second stage (arXiv 2102.12092, section 2.2 and appendix B).

import { z } from 'zod';
import { averaging, optimizer, positiveInteger, precision, rhythm, seed, validationShare } from './fields.ts';

export const ATTENTION_KINDS = ['full', 'row', 'column', 'conv'] as const;
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
      .describe('attention of the layers, repeated in this order; image tokens see all text in every kind'),
    lastAttention: z
      .enum(ATTENTION_KINDS)
      .optional()
      .describe('attention of the last layer, where it differs'),
    convolution: positiveInteger().default(11).describe('odd side of the neighbourhood of conv attention'),
  })
  .superRefine(({ width, heads, convolution }, context) => {
    if (width % heads !== 0) {
      const message = `must be a multiple of heads (${heads}); received ${width}`;
      context.addIssue({ code: 'custom', path: ['width'], message });
    }
    if (convolution % 2 === 0) {
      const message = `must be odd, so that it has a middle; received ${convolution}`;
      context.addIssue({ code: 'custom', path: ['convolution'], message });
    }
  })
  .describe('the joint Transformer');

export const dalleSchema = z
  .strictObject({
    seed,
    data: z
      .strictObject({
        path: z
          .string()
          .optional()
          .describe(
            'pictures with captions, tokenized on the way: a folder with same-stem .txt captions; WebDataset tars (a tar, a folder of them, tars-{000..012}.tar); or a CSV, TSV, JSONL or COCO list',
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
      .describe('captioned pictures, or their tokens'),
    model: dalleModelSchema,
    train: z
      .strictObject({
        ...rhythm,
        precision,
        optimizer,
        averaging: averaging.optional(),
        textLossWeight: z
          .number()
          .min(0)
          .default(0.125)
          .describe("weight of the text cross entropy; the image's is 1 minus it"),
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
              .describe('pictures drawn at each validation when no prompts are given'),
          })
          .prefault({})
          .describe('pictures made while training'),
      })
      .describe('the training run'),
  })
  .describe('mm train-dalle');

export type DalleModelConfig = z.output<typeof dalleModelSchema>;
export type DalleConfig = z.output<typeof dalleSchema>;
