// Configuration of a DALL·E mini (borisdayma/dalle-mini) in a converted checkpoint: mini, mega and their kind. mm does not
// train one.

import { z } from 'zod';
import { positiveInteger } from './fields.ts';

const id = () => z.int().min(0);

export const dalleMiniModelSchema = z
  .strictObject({
    architecture: z.literal('dalle-mini').describe("DALL·E mini's encoder and decoder (BART with GLUs)"),
    textLength: positiveInteger()
      .default(64)
      .describe('text positions, start and end of the prompt included (max_text_length)'),
    textVocabulary: positiveInteger().describe('tokens that the encoder embeds (encoder_vocab_size)'),
    textStart: id().default(0).describe('token before the prompt, <s>'),
    textEnd: id().default(2).describe('token after the prompt, </s>'),
    textPadding: id().default(1).describe('token of the positions after it, which nothing attends to'),
    grid: positiveInteger().default(16).describe('image tokens on a side of an image'),
    imageVocabulary: positiveInteger().default(16384).describe('codes of the image tokenizer'),
    imageClasses: positiveInteger().describe('tokens that the decoder embeds and has logits of'),
    imageStart: id().describe('token before the image (decoder_start_token_id)'),
    width: positiveInteger().describe('width of both residual streams (d_model)'),
    encoderLayers: positiveInteger().describe('layers of the encoder'),
    decoderLayers: positiveInteger().describe('layers of the decoder'),
    heads: positiveInteger().describe('attention heads of the encoder; the width must be a multiple of it'),
    decoderHeads: positiveInteger().describe('attention heads of the decoder'),
    encoderHidden: positiveInteger().describe("hidden channels of the encoder's GLUs (encoder_ffn_dim)"),
    decoderHidden: positiveInteger().describe("hidden channels of the decoder's GLUs (decoder_ffn_dim)"),
  })
  .superRefine((model, context) => {
    const refuse = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message });
    for (const heads of ['heads', 'decoderHeads'] as const)
      if (model.width % model[heads] !== 0)
        refuse(heads, `must divide the width; received ${model[heads]} for ${model.width}`);
    if (model.imageVocabulary > model.imageClasses)
      refuse('imageVocabulary', `must not be above imageClasses, ${model.imageClasses}`);
    if (model.imageStart >= model.imageClasses)
      refuse('imageStart', `must be below imageClasses, ${model.imageClasses}`);
    for (const token of ['textStart', 'textEnd', 'textPadding'] as const)
      if (model[token] >= model.textVocabulary)
        refuse(token, `must be below textVocabulary, ${model.textVocabulary}`);
  })
  .describe('the encoder and the decoder');

export type DalleMiniConfig = z.output<typeof dalleMiniModelSchema>;

export const dalleMiniCheckpointSchema = z.looseObject({
  model: dalleMiniModelSchema,
  sample: z
    .strictObject({
      guidance: z.number().default(1).describe('default of the guidance scale'),
      topK: positiveInteger().optional().describe('default of top-k'),
    })
    .prefault({})
    .describe('settings that the program with the weights samples with'),
});

/** The architecture that a checkpoint of kind dalle names; the joint Transformer names none. */
export const generatorSchema = z.looseObject({
  model: z.looseObject({ architecture: z.string().optional() }),
});
