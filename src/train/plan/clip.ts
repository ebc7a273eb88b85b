// Planning a CLIP. In chunks (train.gradCacheChunk) features are computed twice; the operations counted are those of once.

import type { ClipConfig } from '../../config/clip.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Tensor, Tensor2D } from '../../engine/tfjs/tf.ts';
import { clipLoss } from '../../models/clip/loss.ts';
import { clipSpec, encodeImage, encodeText, normalizePixels } from '../../models/clip/model.ts';
import { BatchStatistics } from '../../nn/batch-norm.ts';
import { unflatten } from '../../nn/parameters.ts';
import { Weights } from '../../nn/weights.ts';
import { type ClipInputs, LOGIT_SCALE } from '../clip/step.ts';
import { valueAndGradients } from '../optim/gradients.ts';
import type { Planned } from './plan.ts';

export function planClip(runtime: Runtime, { model, train }: ClipConfig): Planned {
  const weights = new Weights(runtime, 'planned', clipSpec(model));
  const gradients = runtime.compile(
    'CLIP gradients',
    ({ pixels, text, mask }: ClipInputs) => {
      const { values, gradients } = valueAndGradients(weights.entries, (read) => {
        const p = unflatten(weights.spec, read);
        const images = encodeImage(
          p.image,
          normalizePixels(pixels, model.image),
          model,
          new BatchStatistics(),
        );
        const texts = encodeText(p.text, text as Tensor2D, mask as Tensor2D, model);
        return { loss: clipLoss(images, texts, read(LOGIT_SCALE)).loss };
      });
      return { ...values, ...Object.fromEntries(gradients) } as Record<string, Tensor>;
    },
    { precision: train.precision },
  );
  const { size } = model.image;
  return {
    kind: 'clip',
    spec: weights.spec,
    partOf: (name) => name.split('.')[0] as string,
    trained: new Map([...weights.entries].filter(([, { spec }]) => spec.trained)),
    batch: train.batch,
    accumulate: train.batch / (train.gradCacheChunk ?? train.batch),
    steps: train.steps,
    hasAverage: train.ema !== undefined,
    gradients: (count) =>
      gradients.examine({
        pixels: { dtype: 'uint8', shape: [count, size, size, 3] },
        text: { dtype: 'int32', shape: [count, model.text.length] },
        mask: { dtype: 'float32', shape: [count, model.text.length] },
      }),
  };
}
