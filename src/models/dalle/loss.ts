// The joint Transformer's objective (arXiv 2102.12092, section 2.2): cross entropies of text and image tokens, each
// divided by its number of tokens, then weighted.
//   B batch, T text positions, I image tokens, V vocabulary, M = B · T tokens

import type { DalleModelConfig } from '../../config/dalle-model.ts';
import { type Scalar, type Tensor1D, type Tensor2D, type Tensor3D, tf } from '../../engine/tfjs/tf.ts';
import { sparseCrossEntropy } from '../../nn/functional/cross-entropy.ts';
import { type DalleParameters, logits } from './model.ts';
import type { DalleTraining } from './stack.ts';

export interface DalleLoss {
  /** The training loss. */
  readonly loss: Scalar;
  /** Nats per text token; the end of the caption, its first padding token, counts as a token. */
  readonly textLoss: Scalar;
  /** Nats per image token. */
  readonly imageLoss: Scalar;
}

/** The sizes of the whole batch, for the loss of a micro-batch of it. */
export interface BatchSize {
  /** Text tokens of the whole batch that count in the loss, see `countTextTokens`. */
  readonly textTokens: Scalar;
  /** Images of the micro-batch, as a share of the whole batch. */
  readonly imageShare: number;
}

export interface DalleLossOptions {
  /** Weight of the text's cross entropy; the image's is 1 minus it. */
  readonly textWeight: number;
  readonly training?: DalleTraining | undefined;
  /** For a micro-batch: its losses are divided by the size of the whole batch, and their sum is the batch's loss. */
  readonly wholeBatch?: BatchSize | undefined;
}

/**
 * Number of tokens that the text loss is a mean of.
 * @param text captions as `padCaption` returns them, one after the other
 */
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
 * @param text_BT int32, see `padCaption`
 * @param image_BI int32
 */
export function dalleLoss(
  p: DalleParameters,
  text_BT: Tensor2D,
  image_BI: Tensor2D,
  config: DalleModelConfig,
  { textWeight, training, wholeBatch }: DalleLossOptions,
): DalleLoss {
  const { text_BTV, image_BIV } = logits(p, text_BT, image_BI, config, training);
  const { targets_BT, weights_BT } = textTargets(text_BT, config);
  const weighted = tf.mul(crossEntropy(text_BTV, targets_BT), tf.reshape(weights_BT, [-1]));
  const textLoss: Scalar = tf.div(tf.sum(weighted), wholeBatch?.textTokens ?? tf.sum(weights_BT));
  const ownImageLoss: Scalar = tf.mean(crossEntropy(image_BIV, image_BI));
  const imageLoss: Scalar = wholeBatch ? tf.mul(ownImageLoss, wholeBatch.imageShare) : ownImageLoss;
  return {
    loss: tf.add(tf.mul(textLoss, textWeight), tf.mul(imageLoss, 1 - textWeight)),
    textLoss,
    imageLoss,
  };
}

/**
 * Targets of the text and their weights. With paddingTargets `end`, every padding token is the class after the
 * vocabulary and only a caption's first one has weight 1; with `each`, each padding token is a separate class of
 * weight 1.
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

/** Cross entropy of each token in nats, [M]. */
function crossEntropy(logits_BTV: Tensor3D, targets_BT: Tensor2D): Tensor1D {
  const logits_MV = tf.reshape(logits_BTV, [-1, logits_BTV.shape[2]]) as Tensor2D;
  return sparseCrossEntropy(logits_MV, tf.reshape(targets_BT, [-1]));
}
