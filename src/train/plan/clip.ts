// Planning a CLIP. Gradient caching (train.gradCacheChunk) computes features twice; their operations are counted once.

import type { ClipConfig } from '../../config/clip.ts';
import type { Recompute } from '../../config/fields.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Tensor } from '../../engine/tfjs/tf.ts';
import { clipSpec } from '../../models/clip/model.ts';
import { BatchStatistics } from '../../nn/batch-norm.ts';
import { Weights } from '../../nn/weights.ts';
import { type ClipInputs, clipGradients } from '../clip/gradients.ts';
import type { PlannedModel } from './plan.ts';

/** @param recompute used instead of `train.recompute` */
export function planClip(runtime: Runtime, { model, train }: ClipConfig, recompute: Recompute): PlannedModel {
  const weights = new Weights(runtime, `planned, recompute ${recompute}`, clipSpec(model));
  const planned = { model, train: { ...train, recompute } };
  const gradients = runtime.compile(
    'CLIP gradients',
    (inputs: ClipInputs) => {
      const { values, gradients } = clipGradients(weights, planned, inputs, new BatchStatistics());
      return { loss: values.loss, ...Object.fromEntries(gradients) } as Record<string, Tensor>;
    },
    { precision: train.precision },
  );
  const { size } = model.image;
  return {
    kind: 'clip',
    spec: weights.spec,
    partOf: (name) => name.split('.')[0] as string,
    trained: weights.trained,
    batch: train.batch,
    allReduce: train.allReduce,
    sharding: train.sharding,
    examplesAtOnce: (devices) => Math.min(train.gradCacheChunk ?? train.batch, train.batch / devices),
    steps: train.steps,
    hasEma: train.ema !== undefined,
    gradients: (count) =>
      gradients.examine({
        pixels: { dtype: 'uint8', shape: [count, size, size, 3] },
        text: { dtype: 'int32', shape: [count, model.text.length] },
        mask: { dtype: 'float32', shape: [count, model.text.length] },
      }),
  };
}
