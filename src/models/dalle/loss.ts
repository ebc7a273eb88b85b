// The joint Transformer's objective (arXiv 2102.12092, section 2.2): cross entropies of text and image tokens, each
// normalized by its number of tokens, then weighted.
//   B batch, T text positions, I image tokens, V vocabulary

import type { DalleModelConfig } from '../../config/dalle.ts';
import { type Scalar, type Tensor1D, type Tensor2D, type Tensor3D, tf } from '../../engine/tfjs/tf.ts';
import { sparseCrossEntropy } from '../../nn/functional/cross-entropy.ts';
import { type DalleParameters, logits } from './model.ts';
import type { DalleTraining } from './stack.ts';

export interface DalleLoss {
  /** What is minimised. */
  readonly loss: Scalar;
  /** Nats per text token; the end of the caption, its first padding token, counts as one. */
  readonly textLoss: Scalar;
  /** Nats per image token. */
  readonly imageLoss: Scalar;
}

export interface DalleLossOptions {
  readonly training?: DalleTraining | undefined;
  /** Where these images are a part of the batch: the losses are their terms of the batch's, and sum up to them. */
  readonly part?:
    | {
        /** Text tokens that count in the whole batch, see `countTextTokens`. */
        readonly textTokens: Scalar;
        /** Share of the batch's images. */
        readonly share: number;
      }
    | undefined;
}

/** Tokens of captions, padded as `padCaption` does, that the text loss is a mean of. */
export function countTextTokens(
  text: Int32Array,
  { textLength, textVocabulary, paddingTargets }: DalleModelConfig,
): number {
  if (paddingTargets === 'each') return text.length;
  return text.reduce((sum, id, i) => {
    const isEnd = id >= textVocabulary && (i % textLength === 0 || (text[i - 1] as number) < textVocabulary);
    return sum + Number(id < textVocabulary || isEnd);
  }, 0);
}

/**
 * The loss of captioned images.
 * @param text_BT int32, padded as `padCaption` does
 * @param image_BI int32
 * @param textWeight of the text's cross entropy; the image's is 1 minus it
 */
export function dalleLoss(
  p: DalleParameters,
  text_BT: Tensor2D,
  image_BI: Tensor2D,
  config: DalleModelConfig,
  textWeight: number,
  { training, part }: DalleLossOptions = {},
): DalleLoss {
  const { text_BTV, image_BIV } = logits(p, text_BT, image_BI, config, training);
  const { targets_BT, weights_BT } = textTargets(text_BT, config);
  const weighted = tf.mul(crossEntropy(text_BTV, targets_BT), tf.reshape(weights_BT, [-1]));
  const textLoss: Scalar = tf.div(tf.sum(weighted), part?.textTokens ?? tf.sum(weights_BT));
  const ofImages: Scalar = tf.mean(crossEntropy(image_BIV, image_BI));
  const imageLoss: Scalar = part ? tf.mul(ofImages, part.share) : ofImages;
  return {
    loss: tf.add(tf.mul(textLoss, textWeight), tf.mul(imageLoss, 1 - textWeight)),
    textLoss,
    imageLoss,
  };
}

/**
 * Every padding token is the class after the vocabulary, and those after a caption's first have weight 0; or each is a
 * class of its own and they all count.
 */
function textTargets(
  text_BT: Tensor2D,
  { textVocabulary: vocabulary, paddingTargets }: DalleModelConfig,
): { targets_BT: Tensor2D; weights_BT: Tensor2D } {
  if (paddingTargets === 'each')
    return { targets_BT: text_BT, weights_BT: tf.onesLike(text_BT).cast('float32') };
  const end = tf.scalar(vocabulary, 'int32');
  const padding_BT = tf.cast(tf.greaterEqual(text_BT, end), 'float32');
  const before_BT = tf.slice(
    tf.pad(padding_BT, [
      [0, 0],
      [1, 0],
    ]),
    [0, 0],
    text_BT.shape,
  );
  return {
    targets_BT: tf.minimum(text_BT, end),
    weights_BT: tf.sub(1, tf.mul(padding_BT, before_BT)),
  };
}

/** Of all tokens, in nats, flat. */
function crossEntropy(logits_BTV: Tensor3D, targets_BT: Tensor2D): Tensor1D {
  const logits_NV = tf.reshape(logits_BTV, [-1, logits_BTV.shape[2]]) as Tensor2D;
  return sparseCrossEntropy(logits_NV, tf.reshape(targets_BT, [-1]));
}
