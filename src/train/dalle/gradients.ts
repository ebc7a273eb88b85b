// The gradients of the joint Transformer's loss, for the train step and for `mm plan`.
//   B batch, T text positions, I image tokens

import type { DalleConfig } from '../../config/dalle.ts';
import { recomputeOf } from '../../config/fields.ts';
import { wholeOf } from '../../engine/distributed/slices.ts';
import type { SumAlgorithm } from '../../engine/distributed/sums.ts';
import type { Scalar, Tensor, Tensor1D, Tensor2D } from '../../engine/tfjs/tf.ts';
import { type DalleLossOptions, dalleLoss } from '../../models/dalle/loss.ts';
import type { DalleSpec } from '../../models/dalle/model.ts';
import type { DalleTraining } from '../../models/dalle/stack.ts';
import { flatten, type SpecTree, unflatten } from '../../nn/parameters.ts';
import type { WeightEntries, Weights } from '../../nn/weights.ts';
import type { SlicedWeights } from '../distributed/sliced-weights.ts';
import { valueAndGradients } from '../optim/gradients.ts';

export interface DalleGradientOptions {
  /** Loss scales of the layers, for float16. */
  readonly lossScales?: Tensor[] | undefined;
  /** See `DalleLossOptions`. */
  readonly wholeBatch?: DalleLossOptions['wholeBatch'];
  /** Each replica's slices of the weights, of which the gradients are taken, summed over the replicas. */
  readonly slices?: SlicedWeights | undefined;
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
  { lossScales, wholeBatch, slices }: DalleGradientOptions = {},
) {
  const training: DalleTraining = {
    recompute: recomputeOf(train),
    dropout: train.dropout,
    key: key as Tensor1D,
    blockLossScales: lossScales,
    parameters:
      slices &&
      ((layer, kept, awaited) =>
        wholeOf(kept, blockShapes(weights.spec, layer), { awaited, algorithm: train.allReduce })),
  };
  // Read outside the gradient, whose tensors end with it: the EMA reads them again.
  const frozen = new Map(
    [...(slices ?? weights).entries].flatMap(([name, { variable }]) =>
      trained.has(name) ? [] : [[name, variable.read()]],
    ),
  );
  return valueAndGradients(trained, (read: (name: string) => Tensor) => {
    const own = (name: string): Tensor => frozen.get(name) ?? read(name);
    const p = unflatten(weights.spec, slices ? wholeOutsideBlocks(slices, own, train.allReduce) : own);
    const options = { textWeight: train.textLossWeight, training, wholeBatch };
    return {
      ...dalleLoss(p, text as Tensor2D, image as Tensor2D, model, options),
    } as Record<'loss' | 'textLoss' | 'imageLoss', Scalar>;
  });
}

/** The shapes of a layer's weights, in the order of their tensors. */
const blockShapes = ({ blocks }: DalleSpec, layer: number): (readonly number[])[] =>
  flatten(blocks[`block_${layer + 1}`] as SpecTree).map(([, { shape }]) => shape);

/** The weights outside the layers, gathered; of the layers', the slices. */
function wholeOutsideBlocks(
  { entries }: SlicedWeights,
  own: (name: string) => Tensor,
  algorithm: SumAlgorithm,
): (name: string) => Tensor {
  const outside = [...entries].filter(([name]) => !name.startsWith('blocks.'));
  const whole = wholeOf(
    outside.map(([name]) => own(name)),
    outside.map(([, { spec }]) => spec.shape),
    { algorithm },
  );
  const byName = new Map(outside.map(([name], i) => [name, whole[i] as Tensor]));
  return (name) => byName.get(name) ?? own(name);
}
