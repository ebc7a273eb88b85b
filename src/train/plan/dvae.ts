// Planning a discrete VAE.

import type { DvaeConfig } from '../../config/dvae.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { dvaeArchitecture } from '../../models/dvae/architecture.ts';
import { Weights } from '../../nn/weights.ts';
import { type DvaeGradientInputs, dvaeGradients } from '../dvae/gradients.ts';
import type { PlannedModel } from './plan.ts';

export function planDvae(runtime: Runtime, { model, train }: DvaeConfig): PlannedModel {
  const architecture = dvaeArchitecture(model);
  const weights = new Weights(runtime, 'planned', architecture.spec);
  const gradients = runtime.compile(
    'dVAE gradients',
    (inputs: DvaeGradientInputs) => {
      const { values, gradients } = dvaeGradients(architecture, weights, train, inputs);
      return { loss: values.loss, ...Object.fromEntries(gradients) };
    },
    { precision: train.precision },
  );
  const scalar = { dtype: 'float32', shape: [] } as const;
  return {
    kind: 'dvae',
    spec: weights.spec,
    partOf: (name) => name.split('.')[0] as string,
    trained: weights.entries,
    batch: train.batch,
    allReduce: train.allReduce,
    sharding: train.sharding,
    examplesAtOnce: (devices) => train.batch / train.accumulateSteps / devices,
    steps: train.steps,
    hasEma: train.ema !== undefined,
    gradients: (count) =>
      gradients.examine({
        pixels: { dtype: 'uint8', shape: [count, model.imageSize, model.imageSize, 3] },
        key: { dtype: 'int32', shape: [2] },
        temperature: scalar,
        klWeight: scalar,
      }),
  };
}
