// The gradients of the discrete VAE's loss, for the train step and for `mm plan`.
//   B batch, H height, W width in pixels

import type { DvaeConfig } from '../../config/dvae.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import type { DvaeArchitecture } from '../../models/dvae/architecture.ts';
import { unflatten } from '../../nn/parameters.ts';
import type { Weights } from '../../nn/weights.ts';
import { valueAndGradients } from '../optim/gradients.ts';

export type DvaeGradientInputs = Readonly<Record<'pixels' | 'key' | 'temperature' | 'klWeight', Tensor>>;

/**
 * Loss terms and gradients of a batch of images; inside a compiled function.
 * @param inputs `pixels` [B, H, W, 3] from 0 to 255, `key` int32[2] of the step's random numbers, and two scalars
 * @param lossScale multiplies the loss before it is differentiated
 */
export function dvaeGradients(
  architecture: DvaeArchitecture,
  weights: Weights,
  { minLogScale }: Pick<DvaeConfig['train'], 'minLogScale'>,
  { pixels, key, temperature, klWeight }: DvaeGradientInputs,
  lossScale?: Scalar,
) {
  return valueAndGradients(
    weights.entries,
    (read) =>
      architecture.loss(unflatten(weights.spec, read), tf.div(pixels, 255) as Tensor4D, {
        key: key as Tensor1D,
        temperature: temperature as Scalar,
        klWeight: klWeight as Scalar,
        minLogScale,
      }),
    lossScale,
  );
}
