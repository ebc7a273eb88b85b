// The model section of the joint Transformer's configuration (arXiv 2102.12092, section 2.2).

import { z } from 'zod';
import { positiveInteger } from './fields.ts';

export const ATTENTION_KINDS = [
  ...(['full', 'row', 'column', 'conv'] as const),
  ...(['axial-row', 'conv-like', 'conv-wrapped'] as const),
] as const;
export type AttentionKind = (typeof ATTENTION_KINDS)[number];

const shape = {
  textLength: positiveInteger()
    .default(256)
    .describe('text positions; shorter captions are padded with a learned token for each position'),
  textVocabulary: positiveInteger().default(16384).describe('tokens of the byte-pair vocabulary'),
  grid: positiveInteger().default(32).describe('image tokens on a side of an image'),
  imageVocabulary: positiveInteger().default(8192).describe('codes of the dVAE'),
  width: positiveInteger().default(3968).describe('width of the residual stream'),
  layers: positiveInteger().default(64).describe('resblocks (attention and feed-forward)'),
  heads: positiveInteger().default(62).describe('attention heads; width must be a multiple of it'),
  attention: z
    .array(z.enum(ATTENTION_KINDS))
    .min(1)
    .default(['row', 'column', 'row', 'row'])
    .describe('kinds of the layers, in turn')
    .meta({
      note: "With every kind, image tokens attend to all text. The kinds axial-row and conv-like are those of DALLE-pytorch, and conv-wrapped is that of ruDALL-E's first models.",
    }),
  lastAttention: z
    .enum(ATTENTION_KINDS)
    .optional()
    .describe('attention kind of the last layer, where it differs'),
  kernelSize: positiveInteger()
    .default(11)
    .describe('side of the neighbourhood of conv, conv-like and conv-wrapped attention, odd'),
  attentionGrid: z
    .enum(['input', 'target'])
    .default('input')
    .describe(
      "place of a position in attention: that of the image token it reads, or of the one it predicts (ruDALL-E's first models)",
    ),
  headWidth: positiveInteger().optional().describe('channels of an attention head; by default width / heads'),
  attentionBias: z
    .boolean()
    .default(true)
    .describe('biases of queries, keys and values; DALLE-pytorch has none'),
  initialStddev: z
    .number()
    .positive()
    .default(0.02)
    .describe('standard deviation of the initial weights')
    .meta({ note: 'Narrow models learn faster with about 1/√width; wide ones are more stable with less.' }),
  rotary: z
    .boolean()
    .default(false)
    .describe('rotary positions of text, rows and columns instead of learned ones'),
  tokenShift: z
    .boolean()
    .default(false)
    .describe('each layer reads some channels from the previous token, or from those above and to the left'),
  sharedAttention: z
    .array(z.int().min(0))
    .min(1)
    .optional()
    .describe(
      'a number for each layer, repeated in this order; layers of equal numbers share attention weights',
    ),
  sharedFeedForward: z.array(z.int().min(0)).min(1).optional().describe('the same for feed-forward weights'),
  tiedEmbeddings: z
    .boolean()
    .default(false)
    .describe('logits are products with the token embeddings, without separate weights'),
  stable: z
    .boolean()
    .default(false)
    .describe(
      'stability in float16: smaller products in the softmax, smaller embedding gradients, and bounded outputs without secondNorm',
    ),
  sandwichNorm: z.boolean().default(false).describe('second LayerNorm at the end of each branch'),
  layerScale: z
    .boolean()
    .default(false)
    .describe('multiply each branch by learned scales of its channels, which start small (LayerScale)'),
  gated: z.boolean().default(false).describe('GEGLU feed-forward layers, with twice the channels'),
  activation: z
    .enum(['gelu', 'gelu-tanh'])
    .default('gelu')
    .describe('of the feed-forward layers; gelu-tanh is the approximation of GPT-2 and ruDALL-E'),
  secondNorm: z
    .boolean()
    .default(false)
    .describe('a second LayerNorm before the logits, as in ruDALL-E; the first one bounds its input'),
  reversible: z
    .boolean()
    .default(false)
    .describe('two residual streams; activations are recomputed from their ends for the gradient'),
  paddingTargets: z
    .enum(['end', 'each'])
    .default('end')
    .describe('text targets after a caption: its end, once, or the padding token of each position'),
  zeroIsPadding: z
    .boolean()
    .default(false)
    .describe("text token 0 is padding wherever it stands, as in DALLE-pytorch's models"),
  captionTokens: z
    .strictObject({
      start: z.int().min(0).optional().describe('id before a caption; none without this key'),
      end: z.int().min(0).describe('id after a caption, where a text position is left for it'),
    })
    .optional()
    .describe("ids around a caption, as in ruDALL-E's models; none without this key"),
};

/** The keys with which a configuration need not repeat its parts. */
const givenShape = {
  ...shape,
  textVocabulary: positiveInteger()
    .optional()
    .describe('tokens of the byte-pair vocabulary; by default as many as the tokenizer has'),
  grid: positiveInteger().optional().describe("image tokens on a side of an image; by default the dVAE's"),
  imageVocabulary: positiveInteger().optional().describe("codes of the dVAE; by default the dVAE's"),
};

function checkSizes(model: z.output<z.ZodObject<typeof givenShape>>, context: z.RefinementCtx): void {
  const { width, heads, kernelSize, headWidth, tokenShift, rotary, attentionGrid } = model;
  if (attentionGrid === 'target' && (tokenShift || rotary)) {
    const message = `must be input with ${rotary ? 'rotary positions' : 'tokenShift'}, which count from the token that is read`;
    context.addIssue({ code: 'custom', path: ['attentionGrid'], message });
  }
  if (tokenShift && width % 4 !== 0) {
    const message = `must be a multiple of 4 for tokenShift; received ${width}`;
    context.addIssue({ code: 'custom', path: ['width'], message });
  }
  if (rotary && (headWidth ?? width / heads) % 2 !== 0) {
    const message = `must be even for rotary positions; received ${headWidth ?? width / heads}`;
    context.addIssue({ code: 'custom', path: ['headWidth'], message });
  }
  const { captionTokens, textVocabulary = Number.POSITIVE_INFINITY } = model;
  for (const [key, id = 0] of Object.entries(captionTokens ?? {}))
    if (id >= textVocabulary) {
      const message = `must be an id of the text, below ${textVocabulary}; received ${id}`;
      context.addIssue({ code: 'custom', path: ['captionTokens', key], message });
    }
  const mixed = mixedKinds(model);
  if (mixed) context.addIssue({ code: 'custom', path: ['sharedAttention'], message: mixed });
  if (headWidth === undefined && width % heads !== 0) {
    const message = `must be a multiple of heads (${heads}); received ${width}`;
    context.addIssue({ code: 'custom', path: ['width'], message });
  }
  if (kernelSize % 2 === 0) {
    const message = `must be odd, so that it has a middle; received ${kernelSize}`;
    context.addIssue({ code: 'custom', path: ['kernelSize'], message });
  }
}

/** What is wrong when layers that share attention weights differ in their kind; undefined when none do. */
function mixedKinds(model: {
  readonly layers: number;
  readonly attention: readonly AttentionKind[];
  readonly lastAttention?: AttentionKind | undefined;
  readonly sharedAttention?: readonly number[] | undefined;
}): string | undefined {
  const { layers, attention, lastAttention, sharedAttention: ids } = model;
  if (!ids) return undefined;
  const kinds = new Map<number, AttentionKind>();
  for (let layer = 0; layer < layers; layer++) {
    const id = ids[layer % ids.length] as number;
    const last = layer === layers - 1 ? lastAttention : undefined;
    const kind = last ?? (attention[layer % attention.length] as AttentionKind);
    const before = kinds.get(id) ?? kind;
    kinds.set(id, before);
    if (before !== kind)
      return `layers that share attention must have one kind of it; layer ${layer + 1} has ${kind}, an earlier one ${before}`;
  }
  return undefined;
}

/** A whole model; the published one by default. */
export const dalleModelSchema = z
  .strictObject(shape)
  .superRefine(checkSizes)
  .describe('the joint Transformer');

/** A model as a configuration gives it: without the sizes that its tokenizer and its dVAE have. */
export const givenDalleModelSchema = z
  .strictObject(givenShape)
  .superRefine(checkSizes)
  .describe('the joint Transformer');

export type DalleModelConfig = z.output<typeof dalleModelSchema>;
export type GivenDalleModelConfig = z.output<typeof givenDalleModelSchema>;
