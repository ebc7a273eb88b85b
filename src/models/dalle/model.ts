// DALL·E's joint Transformer over text and image tokens (arXiv 2102.12092, section 2.2 and appendix B).
//   B batch, T text positions, G image tokens on a side, I = G² image tokens, J ≤ I given image tokens,
//   N = T + I input positions, D width of the stream, V vocabulary, M rows: axes of x before D
//
// The inputs are a start token, the T text tokens and the first I − 1 image tokens; position n predicts the next token,
// so positions 0 … T−1 predict the text and T … N−1 the image:
//
//   input    start  text 1  …  text T   image 1  …  image I−1
//   predicts text 1 text 2  …  image 1  image 2  …  image I
//
// Attention is between inputs. The start token counts as text. The row and column of a position are those of its input
// image token, not of the next one, which it predicts.

import type { DalleModelConfig } from '../../config/dalle-model.ts';
import { inFloat32 } from '../../engine/graph/precision.ts';
import { gather } from '../../engine/ops/gather.ts';
import { scaledGradient } from '../../engine/ops/gradient.ts';
import { type Tensor, type Tensor2D, type Tensor3D, tf } from '../../engine/tfjs/tf.ts';
import { layerNorm, layerNormSpec } from '../../nn/layer-norm.ts';
import { linear, linearSpec } from '../../nn/linear.ts';
import { constant, normal, type Parameters } from '../../nn/parameters.ts';
import { rotation } from '../../nn/rotary.ts';
import type { LayerCache } from '../../nn/transformer.ts';
import { blockParameters, blockSpecs, layerPatterns, stackOptions } from './blocks.ts';
import { headWidth, streamLayout, textClasses } from './config.ts';
import { type DalleTraining, layerTraining, runStack } from './stack.ts';

/** Factor on the gradient of the embeddings of a `stable` model (arXiv 2105.13290). */
const EMBEDDING_GRADIENT = 0.1;

/** The parameters of the joint Transformer. Weight decay does not apply to embeddings. */
export function dalleSpec(config: DalleModelConfig) {
  const { textLength, textVocabulary, grid, imageVocabulary, width, rotary, tiedEmbeddings } = config;
  const { initialStddev: stddev, secondNorm } = config;
  const embedding = (rows: number) => normal([rows, width], stddev, false);
  const learned = (rows: number) => (rotary ? undefined : embedding(rows));
  const head = (classes: number) =>
    tiedEmbeddings ? { weight: undefined, bias: constant([classes], 0) } : linearSpec(width, classes, stddev);
  return {
    start: embedding(1),
    text_embedding: embedding(textVocabulary + textLength),
    text_position: learned(textLength),
    image_embedding: embedding(imageVocabulary),
    image_row: learned(grid),
    image_column: learned(grid),
    blocks: blockSpecs(config, stddev),
    norm: layerNormSpec(width),
    head_norm: secondNorm ? layerNormSpec(width) : undefined,
    /** With paddingTargets `end`, the class after the vocabulary is the end of the caption, the first padding token. */
    text_head: head(textClasses(config)),
    image_head: head(imageVocabulary),
  };
}
export type DalleSpec = ReturnType<typeof dalleSpec>;
export type DalleParameters = Parameters<DalleSpec>;

/** The KV cache of each layer. */
export type DalleCache = readonly LayerCache[];

/** The start token and the text: [B, T + 1, D]. */
function embedText(p: DalleParameters, text_BT: Tensor2D): Tensor3D {
  const [batch] = text_BT.shape;
  const tokens_BTD = gather(p.text_embedding, text_BT);
  const text_BTD = p.text_position ? tf.add(tokens_BTD, p.text_position) : tokens_BTD;
  const start_B1D = tf.add(tf.zeros([batch, 1, 1]), p.start) as Tensor3D;
  return tf.concat([start_B1D, text_BTD as Tensor3D], 1);
}

/** The given image tokens: [B, J, D]. */
function embedImage(p: DalleParameters, image_BJ: Tensor2D, { grid, width }: DalleModelConfig): Tensor3D {
  const tokens_BJD = gather(p.image_embedding, image_BJ) as Tensor3D;
  if (!p.image_row || !p.image_column) return tokens_BJD;
  const rows_G1D = tf.reshape(p.image_row, [grid, 1, width]);
  const positions_ID = tf.reshape(tf.add(rows_G1D, p.image_column), [grid ** 2, width]);
  return tf.add(tokens_BJD, tf.slice(positions_ID, 0, image_BJ.shape[1]));
}

/** The text and the given image tokens, before the first layer. */
export function embed(
  p: DalleParameters,
  text_BT: Tensor2D,
  image_BJ: Tensor2D | undefined,
  config: DalleModelConfig,
): Tensor3D {
  const text_BND = embedText(p, text_BT);
  const embedded = image_BJ ? tf.concat([text_BND, embedImage(p, image_BJ, config)], 1) : text_BND;
  return config.stable ? (scaledGradient(embedded, EMBEDDING_GRADIENT) as Tensor3D) : embedded;
}

/** Consecutive layers, counted from 0. */
export interface LayerRange {
  readonly first: number;
  readonly end: number;
}

/**
 * The stream through consecutive layers; a reversible stack runs as a whole.
 * @returns the stream, and the KV cache of each of the layers
 */
export function throughLayers(
  p: DalleParameters,
  x_BND: Tensor3D,
  config: DalleModelConfig,
  { first, end }: LayerRange,
  training?: DalleTraining,
): { x_BND: Tensor3D; cache: DalleCache } {
  const positions = x_BND.shape[1];
  const rotations = config.rotary ? rotation(streamLayout(config), headWidth(config), positions) : undefined;
  const stack = stackOptions(config);
  const layers = layerPatterns(config, positions).map((pattern, layer) => ({
    ...stack,
    pattern,
    rotation: rotations,
    training: training && layerTraining(layer, training),
  }));
  const blocks = blockParameters(p.blocks, config).slice(first, end);
  const options = layers.slice(first, end);
  return runStack(blocks, x_BND, options, config, training?.recompute ?? 'light', first);
}

/**
 * The text and the given image tokens through every layer.
 * @returns the normalized residual stream, and the KV cache of each layer
 */
export function transform(
  p: DalleParameters,
  text_BT: Tensor2D,
  image_BJ: Tensor2D | undefined,
  config: DalleModelConfig,
  training?: DalleTraining,
): { x_BND: Tensor3D; cache: DalleCache } {
  const input_BND = embed(p, text_BT, image_BJ, config);
  const all = { first: 0, end: config.layers };
  const { x_BND, cache } = throughLayers(p, input_BND, config, all, training);
  return { x_BND: normalizeOutput(p, x_BND, config) as Tensor3D, cache };
}

/** The final normalization, before the heads: [..., D] → [..., D]. */
export function normalizeOutput(p: DalleParameters, x: Tensor, { stable }: DalleModelConfig): Tensor {
  if (p.head_norm) return layerNorm(p.head_norm, layerNorm(p.norm, x));
  return layerNorm(p.norm, stable ? tf.div(x, withoutGradient(tf.max(x, -1, true))) : x);
}

/** x, whose gradient is 0. */
const withoutGradient = (x: Tensor): Tensor => scaledGradient(x, 0);

/** Logits of text tokens. @param x output of `normalizeOutput`, [..., D] */
export const textLogits = (p: DalleParameters, x: Tensor): Tensor => head(p.text_head, p.text_embedding, x);

/** Logits of image tokens. @param x output of `normalizeOutput`, [..., D] */
export const imageLogits = (p: DalleParameters, x: Tensor): Tensor =>
  head(p.image_head, p.image_embedding, x);

/** The head's own weights or, when tied, the embeddings of its classes. The product is in 32 bits. */
const head = (p: DalleParameters['text_head'], embedding_VD: Tensor, x: Tensor): Tensor =>
  inFloat32(() => logitsOf(p, embedding_VD, x));

function logitsOf({ weight, bias }: DalleParameters['text_head'], embedding_VD: Tensor, x: Tensor): Tensor {
  if (weight) return linear({ weight, bias }, x);
  const [classes] = bias.shape as [number];
  const width = embedding_VD.shape[1] as number;
  const rows_VD = embedding_VD.shape[0] === classes ? embedding_VD : tf.slice(embedding_VD, 0, classes);
  const logits_MV = tf.add(tf.matMul(tf.reshape(x, [-1, width]), rows_VD, false, true), bias);
  return tf.reshape(logits_MV, [...x.shape.slice(0, -1), classes]);
}

/**
 * Logits of every token of the stream, given the tokens before it.
 * @param text_BT int32, see `padCaption`
 * @param image_BI int32, all image tokens
 */
export function logits(
  p: DalleParameters,
  text_BT: Tensor2D,
  image_BI: Tensor2D,
  config: DalleModelConfig,
  training?: DalleTraining,
): { readonly text_BTV: Tensor3D; readonly image_BIV: Tensor3D } {
  const [batch, imageTokens] = image_BI.shape;
  const { textLength, width } = config;
  const inputs_BJ = tf.slice(image_BI, [0, 0], [batch, imageTokens - 1]);
  const { x_BND } = transform(p, text_BT, inputs_BJ, config, training);
  const text_BTD = tf.slice(x_BND, [0, 0, 0], [batch, textLength, width]);
  const image_BID = tf.slice(x_BND, [0, textLength, 0], [batch, imageTokens, width]);
  return {
    text_BTV: textLogits(p, text_BTD) as Tensor3D,
    image_BIV: imageLogits(p, image_BID) as Tensor3D,
  };
}
