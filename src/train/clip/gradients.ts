// The gradients of CLIP's loss over a batch that fits in memory, for the train step and for `mm plan`.
//   B batch, E embedding

import type { ClipConfig, ClipModelConfig } from '../../config/clip.ts';
import { recomputeOf } from '../../config/fields.ts';
import type { Tensor, Tensor2D } from '../../engine/tfjs/tf.ts';
import { clipLoss, type LogitParameters } from '../../models/clip/loss.ts';
import {
  type ClipSpec,
  type ClipTraining,
  encodeImage,
  encodeText,
  normalizePixels,
} from '../../models/clip/model.ts';
import type { BatchStatistics } from '../../nn/batch-norm.ts';
import { unflatten } from '../../nn/parameters.ts';
import type { Weights } from '../../nn/weights.ts';
import { valueAndGradients } from '../optim/gradients.ts';

/** Images and their texts; see `textBatch`. */
export type ClipInputs = Readonly<Record<'pixels' | 'text' | 'mask', Tensor>>;

/** The parameter whose exponential multiplies the cosines. */
export const LOGIT_SCALE = 'logit_scale';
/** The parameter that the sigmoid loss adds to them. */
export const LOGIT_BIAS = 'logit_bias';

/** What a training configuration asks of the towers. @param statistics collects those of a ResNet's batches */
export const trainingOf = (
  { train }: Pick<ClipConfig, 'train'>,
  statistics: BatchStatistics,
): ClipTraining => ({ statistics, recompute: recomputeOf(train) });

/** The parameters of the loss itself. @param read gives a parameter by its name */
export const logitParameters = <T>(
  { loss }: Pick<ClipModelConfig, 'loss'>,
  read: (name: string) => T,
): LogitParameters<T> => ({
  scale: read(LOGIT_SCALE),
  bias: loss === 'sigmoid' ? read(LOGIT_BIAS) : undefined,
});

/**
 * Features of images and of texts, both [B, E]; inside a compiled function.
 * @param read gives a parameter by its name
 */
export function encodePairs(
  { spec }: Pick<Weights<ClipSpec>, 'spec'>,
  model: ClipModelConfig,
  read: (name: string) => Tensor,
  { pixels, text, mask }: ClipInputs,
  training: ClipTraining,
) {
  const p = unflatten(spec, read);
  return {
    images: encodeImage(p.image, normalizePixels(pixels, model.image), model, training),
    texts: encodeText(p.text, text as Tensor2D, mask as Tensor2D, model, training),
  };
}

/** Loss, accuracy and gradients of a batch; inside a compiled function. */
export function clipGradients(
  weights: Weights<ClipSpec>,
  config: Pick<ClipConfig, 'model' | 'train'>,
  inputs: ClipInputs,
  statistics: BatchStatistics,
) {
  const { model } = config;
  return valueAndGradients(weights.entries, (read) => {
    const { images, texts } = encodePairs(weights, model, read, inputs, trainingOf(config, statistics));
    return clipLoss(images, texts, logitParameters(model, read));
  });
}
