// Planning a joint Transformer.

import type { DalleConfig } from '../../config/dalle.ts';
import type { Recompute } from '../../config/fields.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Tensor } from '../../engine/tfjs/tf.ts';
import { imageLength } from '../../models/dalle/config.ts';
import { dalleSpec } from '../../models/dalle/model.ts';
import { Weights } from '../../nn/weights.ts';
import { trainedEntries } from '../dalle/freeze.ts';
import { dalleGradients } from '../dalle/gradients.ts';
import { muonOf } from '../dalle/matrices.ts';
import { SlicedWeights } from '../distributed/sliced-weights.ts';
import type { PlannedModel } from './plan.ts';

/**
 * @param runtime with as many replicas as devices where the weights are divided: the graph then gathers them
 * @param recompute used instead of `train.recompute`
 */
export function planDalle(runtime: Runtime, config: DalleConfig, recompute: Recompute): PlannedModel {
  const { model, train } = config;
  const prefix = `planned, recompute ${recompute}`;
  const weights = new Weights(runtime, prefix, dalleSpec(model));
  const isShared = model.sharedAttention || model.sharedFeedForward;
  const isDivided = runtime.replicas.count > 1 && recompute === 'full' && !model.reversible && !isShared;
  const slices = isDivided ? new SlicedWeights(runtime, `${prefix}, slices`, weights.spec) : undefined;
  const trained = trainedEntries((slices ?? weights).entries, train.freeze);
  const gradients = runtime.compile(
    'DALL·E gradients',
    ({ scale, ...inputs }: Record<'text' | 'image' | 'key' | 'scale', Tensor>) => {
      const lossScales =
        train.precision === 'float16' ? Array.from({ length: model.layers }, () => scale) : undefined;
      const planned = { model, train: { ...train, recompute } };
      const { values, gradients } = dalleGradients(weights, trained, planned, inputs, { lossScales, slices });
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
    allReduce: train.allReduce,
    sharding: train.sharding,
    examplesAtOnce: (devices) => train.batch / train.accumulateSteps / devices,
    steps: train.steps,
    hasEma: train.ema !== undefined,
    muon: muonOf(trained, config)?.matrices,
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
