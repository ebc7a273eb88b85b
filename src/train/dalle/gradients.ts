// The gradients of the joint Transformer's loss, for the train step and for `mm plan`.
//   B batch, T text positions, I image tokens

import type { DalleConfig } from '../../config/dalle.ts';
import type { Scalar, Tensor, Tensor1D, Tensor2D } from '../../engine/tfjs/tf.ts';
import { type DalleLossOptions, dalleLoss } from '../../models/dalle/loss.ts';
import type { DalleSpec } from '../../models/dalle/model.ts';
import { unflatten } from '../../nn/parameters.ts';
import type { WeightEntries, Weights } from '../../nn/weights.ts';
import { valueAndGradients } from '../optim/gradients.ts';

export interface DalleGradientOptions {
  /** Loss scales of the layers, for float16. */
  readonly lossScales?: Tensor[] | undefined;
  /** Set where the examples are a part of a batch. */
  readonly part?: DalleLossOptions['part'];
}

/**
 * Losses and gradients of captioned images; inside a compiled function.
 * @param trained the weights that are trained; the others are read as constants
 * @param inputs int32: `text` [B, T], `image` [B, I], and `key` [2] of the step's random numbers
 */
export function dalleGradients(
  weights: Weights<DalleSpec>,
  trained: WeightEntries,
  { model, train }: Pick<DalleConfig, 'model' | 'train'>,
  { text, image, key }: Readonly<Record<'text' | 'image' | 'key', Tensor>>,
  { lossScales, part }: DalleGradientOptions = {},
) {
  const training = {
    recompute: train.recompute,
    dropout: train.dropout,
    key: key as Tensor1D,
    gradientScales: lossScales,
  };
  // Read outside the gradient, whose tensors end with it: the EMA reads them again.
  const frozen = new Map(
    [...weights.entries].flatMap(([name, { variable }]) =>
      trained.has(name) ? [] : [[name, variable.read()]],
    ),
  );
  return valueAndGradients(trained, (read: (name: string) => Tensor) => {
    const p = unflatten(weights.spec, (name) => frozen.get(name) ?? read(name));
    const options = { training, part };
    return {
      ...dalleLoss(p, text as Tensor2D, image as Tensor2D, model, train.textLossWeight, options),
    } as Record<'loss' | 'textLoss' | 'imageLoss', Scalar>;
  });
}
