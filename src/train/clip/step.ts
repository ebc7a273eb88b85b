// CLIP's update in the graph, of a batch that fits in memory; clip-cached-step.ts makes the same one in chunks.

import type { ClipConfig } from '../../config/clip.ts';
import type { Pointer } from '../../engine/native/capi.ts';
import { floatScalar } from '../../engine/native/tensor.ts';
import type { OnHost } from '../../engine/session/compiled.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import { clipLoss, MAX_LOGIT_SCALE } from '../../models/clip/loss.ts';
import { type ClipSpec, encodeImage, encodeText, normalizePixels } from '../../models/clip/model.ts';
import { BatchStatistics } from '../../nn/batch-norm.ts';
import { unflatten } from '../../nn/parameters.ts';
import type { Weights } from '../../nn/weights.ts';
import type { Adam, Ema } from '../optim/adam.ts';
import { valueAndGradients } from '../optim/gradients.ts';

/** A chunk's images and texts; see `textBatch`. */
export type ClipInputs = Readonly<Record<'pixels' | 'text' | 'mask', Tensor>>;

export const LOGIT_SCALE = 'logit_scale';

export interface StepParts {
  readonly runtime: Runtime;
  readonly config: ClipConfig;
  readonly weights: Weights<ClipSpec>;
  readonly optimizer: Adam;
  readonly ema: Ema<ClipSpec> | undefined;
}

/** Features of both kinds, by reading parameters by name. */
export function encode(
  { config: { model }, weights }: StepParts,
  read: (name: string) => Tensor,
  { pixels, text, mask }: ClipInputs,
  statistics: BatchStatistics,
) {
  const p = unflatten(weights.spec, read);
  return {
    images: encodeImage(p.image, normalizePixels(pixels, model.image), model, statistics),
    texts: encodeText(p.text, text as Tensor2D, mask as Tensor2D, model),
  };
}

/** Running statistics as a chunk leaves them. */
export function updateStatistics({ weights }: StepParts, statistics: BatchStatistics): [string, Pointer][] {
  return [...weights.entries].flatMap(([name, { variable, spec }]): [string, Pointer][] => {
    if (spec.trained) return [];
    const next = statistics.next(variable.read());
    return next ? [[name, variable.assign(next)]] : [];
  });
}

/** Applies the optimizer, clips the logit scale, moves the average. */
export function applyUpdate(
  { weights, optimizer, ema }: StepParts,
  gradients: ReadonlyMap<string, Tensor>,
  step: Scalar,
  learningRate: Scalar,
  statistics: readonly [string, Pointer][] | 'before',
) {
  const { gradientNorm, updates } = optimizer.apply(gradients, step, learningRate);
  const { variable } = weights.entries.get(LOGIT_SCALE)!;
  const scale = tf.minimum(variable.readAfter(updates.get(LOGIT_SCALE) as Pointer), MAX_LOGIT_SCALE);
  updates.set(LOGIT_SCALE, variable.assign(scale));
  if (statistics !== 'before') for (const [name, update] of statistics) updates.set(name, update);
  ema?.update(updates, step);
  return { gradientNorm, logitScale: tf.exp(scale) };
}

export interface StepResult {
  readonly loss: number;
  readonly accuracy: number;
  readonly gradientNorm: number;
  /** exp(logit scale) after the update. */
  readonly logitScale: number;
}

/** One update; `chunks` may be gone through twice. */
export type ClipStep = (
  step: number,
  learningRate: number,
  chunks: () => AsyncIterable<OnHost<ClipInputs>>,
) => Promise<StepResult>;

export const number = (tensor: { readonly data: ArrayLike<number | bigint> }): number =>
  Number(tensor.data[0]);

/** The update of a batch that fits in memory. */
export function wholeStep(parts: StepParts): ClipStep {
  const { runtime, config, weights } = parts;
  const update = runtime.compile(
    'CLIP train step',
    ({ step, learningRate, ...inputs }: ClipInputs & Record<'step' | 'learningRate', Tensor>) => {
      const statistics = new BatchStatistics();
      const { values, gradients } = valueAndGradients(weights.entries, (read) => {
        const { images, texts } = encode(parts, read, inputs, statistics);
        return clipLoss(images, texts, read(LOGIT_SCALE));
      });
      const results = applyUpdate(
        parts,
        gradients,
        step as Scalar,
        learningRate as Scalar,
        updateStatistics(parts, statistics),
      );
      return { ...values, ...results };
    },
    { precision: config.train.precision },
  );
  return async (step, learningRate, chunks) => {
    for await (const inputs of chunks()) {
      const results = await update({
        ...inputs,
        step: floatScalar(step),
        learningRate: floatScalar(learningRate),
      });
      return {
        loss: number(results.loss),
        accuracy: number(results.accuracy),
        gradientNorm: number(results.gradientNorm),
        logitScale: number(results.logitScale),
      };
    }
    throw new Error('a batch has no chunk');
  };
}
