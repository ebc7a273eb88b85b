// The gradients of the discrete VAE's loss, for the train step and for `mm plan`.
//   B batch, H height, W width in pixels

import type { DvaeConfig } from '../../config/dvae.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import type { DvaeArchitecture } from '../../models/dvae/architecture.ts';
import { unflatten } from '../../nn/parameters.ts';
import type { Weights } from '../../nn/weights.ts';
import { valueAndGradients } from '../optim/gradients.ts';

export type DvaeGradientInputs = Readonly<Record<'pixels' | 'key' | 'temperature' | 'klWeight', Tensor>>;

export interface DvaeGradientOptions {
  /** Multiplies the loss before it is differentiated. */
  readonly lossScale?: Scalar | undefined;
  /** Equal parts of the batch, of which the images are one: loss and terms are divided by it, so that parts add up. */
  readonly parts?: number;
}

/**
 * Loss terms and gradients of a batch of images; inside a compiled function.
 * @param inputs `pixels` [B, H, W, 3] from 0 to 255, `key` int32[2] of the step's random numbers, and two scalars
 */
export function dvaeGradients(
  architecture: DvaeArchitecture,
  weights: Weights,
  { minLogScale }: Pick<DvaeConfig['train'], 'minLogScale'>,
  { pixels, key, temperature, klWeight }: DvaeGradientInputs,
  { lossScale, parts = 1 }: DvaeGradientOptions = {},
) {
  const share = <T extends Scalar>(value: T): T => (parts === 1 ? value : tf.div(value, parts));
  return valueAndGradients(
    weights.entries,
    (read) => {
      const values = architecture.loss(unflatten(weights.spec, read), tf.div(pixels, 255) as Tensor4D, {
        key: key as Tensor1D,
        temperature: temperature as Scalar,
        klWeight: klWeight as Scalar,
        minLogScale,
        batch: parts === 1 ? undefined : parts * (pixels.shape[0] as number),
      });
      const { loss, reconstruction, kl, mse, logits } = values;
      return {
        loss: share(loss),
        reconstruction: share(reconstruction),
        kl: share(kl),
        mse: share(mse),
        logits,
      };
    },
    lossScale,
  );
}
