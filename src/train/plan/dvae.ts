// Planning a discrete VAE.

import type { DvaeConfig } from '../../config/dvae.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { dvaeArchitecture } from '../../models/dvae/architecture.ts';
import { unflatten } from '../../nn/parameters.ts';
import { Weights } from '../../nn/weights.ts';
import { valueAndGradients } from '../optim/gradients.ts';
import type { Planned } from './plan.ts';

export function planDvae(runtime: Runtime, { model, train }: DvaeConfig): Planned {
  const architecture = dvaeArchitecture(model);
  const weights = new Weights(runtime, 'planned', architecture.spec);
  type Inputs = Record<'pixels' | 'key' | 'temperature' | 'klWeight', Tensor>;
  const gradients = runtime.compile(
    'dVAE gradients',
    ({ pixels, key, temperature, klWeight }: Inputs) => {
      const { values, gradients } = valueAndGradients(weights.entries, (read) => ({
        loss: architecture.loss(unflatten(weights.spec, read), tf.div(pixels, 255) as Tensor4D, {
          key: key as Tensor1D,
          temperature: temperature as Scalar,
          klWeight: klWeight as Scalar,
          minLogScale: train.minLogScale,
        }).loss,
      }));
      return { ...values, ...Object.fromEntries(gradients) };
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
    accumulate: 1,
    steps: train.steps,
    hasAverage: train.ema !== undefined,
    gradients: (count) =>
      gradients.examine({
        pixels: { dtype: 'uint8', shape: [count, model.imageSize, model.imageSize, 3] },
        key: { dtype: 'int32', shape: [2] },
        temperature: scalar,
        klWeight: scalar,
      }),
  };
}
