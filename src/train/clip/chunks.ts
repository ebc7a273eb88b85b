// CLIP's loss in chunks of a batch: each chunk's terms from the features of the whole batch, then the towers' gradients
// from those of the features. For chunks one after the other (cached-step.ts) and on several devices
// (replicated-step.ts).
//   B batch, C chunk, E embedding

import { gather } from '../../engine/ops/gather.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import { sigmoidLoss, similarities } from '../../models/clip/loss.ts';
import type { BatchStatistics } from '../../nn/batch-norm.ts';
import { sparseCrossEntropy } from '../../nn/functional/cross-entropy.ts';
import { valueAndGradients } from '../optim/gradients.ts';
import {
  type ClipInputs,
  encodePairs,
  LOGIT_BIAS,
  LOGIT_SCALE,
  logitParameters,
  trainingOf,
} from './gradients.ts';
import type { ClipStepParts } from './step.ts';

/** Features of images and of texts, or the gradients with respect to them. */
export interface Features {
  readonly images: Tensor;
  readonly texts: Tensor;
}

/** The rows of x_BE that belong to the chunk at `start`. */
export const rowsOf = (x_BE: Tensor, chunk: number, start: Tensor): Tensor2D =>
  gather(x_BE, tf.add(tf.range(0, chunk, 1, 'int32'), start)) as Tensor2D;

/** Features of a chunk, both [C, E], of length 1; inside a compiled function, as all of these. */
export function encodeChunk(
  { weights, config }: ClipStepParts,
  inputs: ClipInputs,
  statistics: BatchStatistics,
): Features {
  const read = (name: string): Tensor => weights.entries.get(name)!.variable.read();
  return encodePairs(weights, config.model, read, inputs, trainingOf(config, statistics));
}

/**
 * A chunk's terms of the loss: its images against all texts and, of softmax, its texts against all images.
 * @param all of the whole batch, [B, E]
 * @param start the first example of the chunk, int32 scalar
 */
export function chunkLoss({ weights, config }: ClipStepParts, all: Features, chunk: number, start: Tensor) {
  const { batch } = config.train;
  const own = tf.add(tf.range(0, chunk, 1, 'int32'), start) as Tensor1D;
  let hits: Tensor | undefined;
  const loss = (all_BE: Tensor, others_BE: Tensor, scale: Tensor, bias?: Tensor): Scalar => {
    const logits = (from: Tensor, to: Tensor): Tensor2D => {
      const logits_CB = similarities(rowsOf(from, chunk, start), to as Tensor2D, { scale, bias });
      const hit = tf.sum(tf.cast(tf.equal(tf.argMax(logits_CB, 1), own), 'float32'));
      hits = tf.keep(hits ? tf.add(hits, hit) : hit);
      return logits_CB;
    };
    const side = (from: Tensor, to: Tensor): Scalar => tf.sum(sparseCrossEntropy(logits(from, to), own));
    if (!bias) return tf.div(tf.add(side(all_BE, others_BE), side(others_BE, all_BE)), 2 * batch);
    const pairs_CB = logits(all_BE, others_BE);
    logits(others_BE, all_BE); // for the accuracy: each pair counts once in the loss
    return sigmoidLoss(pairs_CB, own);
  };
  const { scale, bias } = logitParameters(config.model, (name) => weights.entries.get(name)!.variable.read());
  const { value, grads } = tf.valueAndGrads(loss as (...args: Tensor[]) => Scalar)([
    all.images,
    all.texts,
    scale,
    ...(bias ? [bias] : []),
  ]);
  const [images, texts, scaleGradient, biasGradient] = grads as [Tensor, Tensor, Tensor, Tensor?];
  return {
    values: { loss: value, accuracy: tf.div(hits as Tensor, 2 * batch) as Scalar },
    /** With respect to all features of the batch. */
    features: { images, texts },
    /** With respect to the parameters of the loss, by name. */
    logits: new Map([
      [LOGIT_SCALE, scaleGradient],
      ...(biasGradient ? [[LOGIT_BIAS, biasGradient] as const] : []),
    ]),
  };
}

/** The towers' gradients of a chunk, from the gradients of its features, both [C, E]. */
export function towerGradients(
  { weights, config }: ClipStepParts,
  inputs: ClipInputs,
  features: Features,
  statistics: BatchStatistics,
): ReadonlyMap<string, Tensor> {
  const isOfTower = (name: string): boolean => name !== LOGIT_SCALE && name !== LOGIT_BIAS;
  const towers = new Map([...weights.entries].filter(([name]) => isOfTower(name)));
  return valueAndGradients(towers, (read) => {
    const readTower = (name: string): Tensor => (isOfTower(name) ? read(name) : tf.scalar(0));
    const training = trainingOf(config, statistics);
    const { images, texts } = encodePairs(weights, config.model, readTower, inputs, training);
    // The gradient of ⟨x, g⟩ with respect to the weights, where g is constant: the chain rule at the features x.
    const inner = (x: Tensor, g: Tensor): Tensor => tf.sum(tf.mul(x, g));
    return { loss: tf.add(inner(images, features.images), inner(texts, features.texts)) as Scalar };
  }).gradients;
}
