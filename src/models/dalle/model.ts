// DALL·E's joint Transformer over text and image tokens (arXiv 2102.12092, section 2.2 and appendix B).
//   B batch, T text positions, G image tokens on a side, I = G² image tokens, P first image tokens,
//   N = T + I input positions, D width, H heads, d width of a head, V vocabulary
//
// The inputs are a start token, the T text tokens and the first I − 1 image tokens; position n predicts what comes
// after it, so positions 0 … T−1 predict the text and T … N−1 the image:
//
//   input    start  text 1  …  text T   image 1  …  image I−1
//   predicts text 1 text 2  …  image 1  image 2  …  image I
//
// Attention is between inputs. The start token counts as text, and "row" and "column" are those of the image token
// read at a position, not of the next one, which is predicted there.

import type { DalleModelConfig } from '../../config/dalle.ts';
import { gather } from '../../engine/ops.ts';
import { type Tensor2D, type Tensor3D, tf } from '../../engine/tf.ts';
import { additiveMask, type KeyValues } from '../../nn/attention.ts';
import { attentionMask } from '../../nn/attention-mask.ts';
import { layerNorm, layerNormSpec } from '../../nn/layer-norm.ts';
import { linear, linearSpec } from '../../nn/linear.ts';
import { normal, type Parameters } from '../../nn/parameters.ts';
import { block, blockSpec } from '../../nn/transformer.ts';
import { layerAttention, streamLayout } from './config.ts';

const STDDEV = 0.02;

/** The parameters of the joint Transformer. Weight decay leaves embeddings alone. */
export function dalleSpec(config: DalleModelConfig) {
  const { textLength, textVocabulary, grid, imageVocabulary, width, layers } = config;
  const embedding = (rows: number) => normal([rows, width], STDDEV, false);
  const blocks: Record<`block_${number}`, ReturnType<typeof blockSpec>> = Object.fromEntries(
    Array.from({ length: layers }, (_, layer) => [`block_${layer + 1}`, blockSpec(width, layers, STDDEV)]),
  );
  return {
    start: embedding(1),
    text_embedding: embedding(textVocabulary + textLength),
    text_position: embedding(textLength),
    image_embedding: embedding(imageVocabulary),
    image_row: embedding(grid),
    image_column: embedding(grid),
    blocks,
    norm: layerNormSpec(width),
    /** The class after the vocabulary is the end of the caption: the first padding token. */
    text_head: linearSpec(width, textVocabulary + 1, STDDEV),
    image_head: linearSpec(width, imageVocabulary, STDDEV),
  };
}
export type DalleParameters = Parameters<ReturnType<typeof dalleSpec>>;

/** Keys and values of every layer, [B, H, N, d] each. */
export type DalleCache = readonly KeyValues[];

/** The start token and the text: [B, T + 1, D]. */
function embedText(p: DalleParameters, text_BT: Tensor2D): Tensor3D {
  const [batch] = text_BT.shape;
  const text_BTD = tf.add(gather(p.text_embedding, text_BT), p.text_position) as Tensor3D;
  const start_B1D = tf.add(tf.zeros([batch, 1, 1]), p.start) as Tensor3D;
  return tf.concat([start_B1D, text_BTD], 1);
}

/** The first image tokens: [B, P, D]. */
function embedImage(p: DalleParameters, image_BP: Tensor2D, { grid, width }: DalleModelConfig): Tensor3D {
  const rows_G1D = tf.reshape(p.image_row, [grid, 1, width]);
  const positions_ID = tf.reshape(tf.add(rows_G1D, p.image_column), [grid ** 2, width]);
  const positions_PD = tf.slice(positions_ID, 0, image_BP.shape[1]);
  return tf.add(gather(p.image_embedding, image_BP), positions_PD) as Tensor3D;
}

/** The mask of each layer for the first `length` positions, one tensor for each kind of attention. */
export function layerMasks(
  config: DalleModelConfig,
  length: number,
  change: (mask: Uint8Array) => Uint8Array = (mask) => mask,
): Tensor2D[] {
  const kinds = layerAttention(config);
  const layout = streamLayout(config);
  const masks = new Map(
    [...new Set(kinds)].map((kind) => [
      kind,
      additiveMask(change(attentionMask(kind, layout, length)), length),
    ]),
  );
  return kinds.map((kind) => masks.get(kind) as Tensor2D);
}

/** The text and the first image tokens through every layer: the normalized residual stream, keys and values. */
export function transform(
  p: DalleParameters,
  text_BT: Tensor2D,
  image_BP: Tensor2D | undefined,
  config: DalleModelConfig,
): { x_BND: Tensor3D; cache: DalleCache } {
  const text_BND = embedText(p, text_BT);
  let x_BND = image_BP ? tf.concat([text_BND, embedImage(p, image_BP, config)], 1) : text_BND;
  const masks = layerMasks(config, x_BND.shape[1]);
  const cache = Object.values(p.blocks).map((parameters, layer) => {
    const { x_BND: next, ...keyValues } = block(parameters, x_BND, config.heads, masks[layer] as Tensor2D);
    x_BND = next;
    return keyValues;
  });
  return { x_BND: layerNorm(p.norm, x_BND) as Tensor3D, cache };
}

/**
 * Logits of every token of the stream given those before it.
 * @param text_BT int32, padded as `padCaption` does
 * @param image_BI int32, all tokens of the picture
 */
export function logits(
  p: DalleParameters,
  text_BT: Tensor2D,
  image_BI: Tensor2D,
  config: DalleModelConfig,
): { readonly text_BTV: Tensor3D; readonly image_BIV: Tensor3D } {
  const [batch, imageTokens] = image_BI.shape;
  const { textLength, width } = config;
  const { x_BND } = transform(p, text_BT, tf.slice(image_BI, [0, 0], [batch, imageTokens - 1]), config);
  const text_BTD = tf.slice(x_BND, [0, 0, 0], [batch, textLength, width]);
  const image_BID = tf.slice(x_BND, [0, textLength, 0], [batch, imageTokens, width]);
  return {
    text_BTV: linear(p.text_head, text_BTD) as Tensor3D,
    image_BIV: linear(p.image_head, image_BID) as Tensor3D,
  };
}
