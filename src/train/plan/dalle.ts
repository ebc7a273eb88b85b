// Planning a joint Transformer.

import type { DalleConfig } from '../../config/dalle.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Scalar, Tensor, Tensor1D, Tensor2D } from '../../engine/tfjs/tf.ts';
import { imageLength } from '../../models/dalle/config.ts';
import { dalleLoss } from '../../models/dalle/loss.ts';
import { dalleSpec } from '../../models/dalle/model.ts';
import { unflatten } from '../../nn/parameters.ts';
import { Weights } from '../../nn/weights.ts';
import { trainedEntries } from '../dalle/fine-tune.ts';
import { valueAndGradients } from '../optim/gradients.ts';
import type { Planned } from './plan.ts';

/** `recompute` takes the place of the configuration's. */
export function planDalle(runtime: Runtime, config: DalleConfig, recompute: boolean): Planned {
  const { model, train } = config;
  const weights = new Weights(runtime, `planned, recompute ${recompute}`, dalleSpec(model));
  const trained = trainedEntries(weights.entries, train.freeze);
  const gradients = runtime.compile(
    'DALL·E gradients',
    ({ text, image, key, scale }: Record<'text' | 'image' | 'key' | 'scale', Tensor>) => {
      const blockLossScales =
        train.precision === 'float16'
          ? Array.from({ length: model.layers }, () => scale as Scalar)
          : undefined;
      const training = { recompute, dropout: train.dropout, key: key as Tensor1D, blockLossScales };
      const { values, gradients } = valueAndGradients(trained, (read) => {
        const p = unflatten(weights.spec, (name) =>
          trained.has(name) ? read(name) : (weights.entries.get(name)!.variable.read() as Tensor),
        );
        const [text_BT, image_BI] = [text as Tensor2D, image as Tensor2D];
        return { ...dalleLoss(p, text_BT, image_BI, model, { textWeight: train.textLossWeight, training }) };
      });
      return { loss: values.loss, ...Object.fromEntries(gradients) };
    },
    { precision: train.precision },
  );
  return {
    kind: 'dalle',
    spec: weights.spec,
    partOf: (name) => PARTS.find(([pattern]) => pattern.test(name))?.[1] ?? 'final norm',
    trained,
    batch: train.batch,
    accumulate: train.accumulateSteps,
    steps: train.steps,
    hasAverage: train.ema !== undefined,
    gradients: (count) =>
      gradients.examine({
        text: { dtype: 'int32', shape: [count, model.textLength] },
        image: { dtype: 'int32', shape: [count, imageLength(model)] },
        key: { dtype: 'int32', shape: [2] },
        scale: { dtype: 'float32', shape: [] },
      }),
  };
}

const PARTS: readonly (readonly [RegExp, string])[] = [
  [/^(start|text_embedding|image_embedding)/, 'token embeddings'],
  [/^(text_position|image_row|image_column)/, 'position embeddings'],
  [/^blocks\.block_\d+\.attention\./, 'attention'],
  [/^blocks\.block_\d+\.feed_forward\./, 'feed-forward'],
  [/^blocks\./, 'norms and scales of the layers'],
  [/_head\./, 'heads'],
];
