// DALL·E mini (borisdayma/dalle-mini): BART's encoder and decoder (arXiv 1910.13461) with GLUs (arXiv 2002.05202) and the
// additional norms of NormFormer (arXiv 2110.09456). No layer has biases; norms have.
//   B batch, T text positions, J image tokens that are given, N positions, D width, A heads, d width of a head, V classes
//
// The encoder reads the text once. The decoder reads a start token and the image tokens; its position n predicts image
// token n + 1. Every position has a learned vector.

import type { DalleMiniConfig } from '../../config/dalle-mini.ts';
import { inFloat32 } from '../../engine/graph/precision.ts';
import { gather } from '../../engine/ops/gather.ts';
import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { causalMask, MASKED } from '../../nn/attention-mask.ts';
import { layerNorm, layerNormSpec } from '../../nn/layer-norm.ts';
import { linear } from '../../nn/linear.ts';
import { normal, type Parameters, stackSpecs } from '../../nn/parameters.ts';
import { attentionSpec, attentionUpdate, glu, gluSpec, type KeyValues, keyValues } from './layers.ts';

const STDDEV = 0.02;

const coder = (rows: number, positions: number, width: number) => ({
  embedding: normal([rows, width], STDDEV, false),
  position: normal([positions, width], STDDEV, false),
  embedding_norm: layerNormSpec(width),
  norm: layerNormSpec(width),
});

export function dalleMiniSpec(config: DalleMiniConfig) {
  const { width, encoderHidden, decoderHidden, textVocabulary, textLength, imageClasses, grid } = config;
  return {
    encoder: {
      ...coder(textVocabulary, textLength, width),
      layers: stackSpecs('layer', config.encoderLayers, () => ({
        self_attention: attentionSpec(width),
        glu: gluSpec(width, encoderHidden),
      })),
    },
    decoder: {
      ...coder(imageClasses, grid ** 2, width),
      layers: stackSpecs('layer', config.decoderLayers, () => ({
        self_attention: attentionSpec(width),
        cross_attention: attentionSpec(width),
        glu: gluSpec(width, decoderHidden),
      })),
      head: { weight: normal([width, imageClasses], STDDEV) },
    },
  };
}
export type DalleMiniSpec = ReturnType<typeof dalleMiniSpec>;
export type DalleMiniParameters = Parameters<DalleMiniSpec>;
export type DecoderLayerParameters = DalleMiniParameters['decoder']['layers'][`layer_${number}`];

/** The layers of a coder in their order. */
export const layersOf = <L>(layers: { readonly [layer in `layer_${number}`]: L }): L[] =>
  Object.values(layers) as L[];

/** 0 for a text token and MASKED for padding, [B, 1, 1, T]: added to the scores of keys. */
export function paddingMask(text_BT: Tensor2D, { textPadding }: DalleMiniConfig): Tensor4D {
  const [batch, positions] = text_BT.shape;
  const isPadding = tf.cast(tf.equal(text_BT, tf.scalar(textPadding, 'int32')), 'float32');
  return tf.reshape(tf.mul(isPadding, MASKED), [batch, 1, 1, positions]);
}

/**
 * The text through the encoder: [B, T, D].
 * @param text_BT int32, see `textInput`
 */
export function encodeText(
  p: DalleMiniParameters['encoder'],
  text_BT: Tensor2D,
  config: DalleMiniConfig,
): Tensor3D {
  const mask = paddingMask(text_BT, config);
  const embedded = tf.add(gather(p.embedding, text_BT), p.position);
  let x_BND = layerNorm(p.embedding_norm, embedded) as Tensor3D;
  for (const layer of layersOf(p.layers)) {
    const attend = (input: Tensor3D) =>
      attentionUpdate(
        layer.self_attention,
        input,
        keyValues(layer.self_attention, input, config.heads),
        mask,
      );
    x_BND = tf.add(x_BND, attend(normed(layer.self_attention, x_BND)));
    x_BND = tf.add(x_BND, glu(layer.glu, x_BND));
  }
  return layerNorm(p.norm, x_BND) as Tensor3D;
}

const normed = (p: DecoderLayerParameters['self_attention'], x_BND: Tensor3D): Tensor3D =>
  layerNorm(p.norm, x_BND) as Tensor3D;

/** Keys and values of the text, for every layer of the decoder. */
export const textKeyValues = (
  p: DalleMiniParameters['decoder'],
  encoded_BTD: Tensor3D,
  { decoderHeads }: DalleMiniConfig,
): KeyValues[] =>
  layersOf(p.layers).map((layer) => keyValues(layer.cross_attention, encoded_BTD, decoderHeads));

export interface Decoded {
  /** Normalized output of each position, [B, J + 1, D]. */
  readonly x_BND: Tensor3D;
  /** Keys and values of the start token and the given image tokens, of each layer. */
  readonly cache: readonly KeyValues[];
}

/**
 * The start token and the given image tokens through the decoder.
 * @param text keys and values of the text, see `textKeyValues`
 * @param textMask see `paddingMask`
 * @param image_BJ int32; undefined for none
 */
export function decodeImage(
  p: DalleMiniParameters['decoder'],
  text: readonly KeyValues[],
  textMask: Tensor4D,
  image_BJ: Tensor2D | undefined,
  config: DalleMiniConfig,
): Decoded {
  const [batch] = textMask.shape;
  const start_B1 = tf.fill([batch, 1], config.imageStart, 'int32') as Tensor2D;
  const tokens_BN = image_BJ ? (tf.concat([start_B1, image_BJ], 1) as Tensor2D) : start_B1;
  const positions = tokens_BN.shape[1];
  const causal_NN = causalMask(positions);
  const embedded = tf.add(gather(p.embedding, tokens_BN), tf.slice(p.position, 0, positions));
  let x_BND = layerNorm(p.embedding_norm, embedded) as Tensor3D;
  const cache = layersOf(p.layers).map((layer, i): KeyValues => {
    const input = normed(layer.self_attention, x_BND);
    const own = keyValues(layer.self_attention, input, config.decoderHeads);
    x_BND = tf.add(x_BND, attentionUpdate(layer.self_attention, input, own, causal_NN));
    const ofText = text[i] as KeyValues;
    const query = normed(layer.cross_attention, x_BND);
    x_BND = tf.add(x_BND, attentionUpdate(layer.cross_attention, query, ofText, textMask));
    x_BND = tf.add(x_BND, glu(layer.glu, x_BND));
    return own;
  });
  return { x_BND: layerNorm(p.norm, x_BND) as Tensor3D, cache };
}

/** Logits of the codes, [..., D] → [..., V]: of the classes, those that the image tokenizer has codes of. */
export function imageLogits(
  p: DalleMiniParameters['decoder'],
  x: Tensor,
  { imageClasses, imageVocabulary }: DalleMiniConfig,
): Tensor {
  const logits = inFloat32(() => linear(p.head, x));
  if (imageClasses === imageVocabulary) return logits;
  const begin = x.shape.map(() => 0);
  return tf.slice(logits, begin, [...x.shape.slice(0, -1), imageVocabulary]);
}
