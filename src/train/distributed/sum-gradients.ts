// The gradients of a batch from those of the replicas: whole, or by slices (train.sharding).

import type { Sharding } from '../../config/fields.ts';
import { sumToSlices } from '../../engine/distributed/slices.ts';
import { type SumAlgorithm, sumAllOverReplicas } from '../../engine/distributed/sums.ts';
import { atOneOrigin } from '../../engine/graph/origin.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Tensor } from '../../engine/tfjs/tf.ts';
import type { WeightEntries } from '../../nn/weights.ts';
import { GradientAccumulator } from '../optim/accumulate.ts';
import { type BatchGradients, SlicedGradients } from '../optim/sliced-gradients.ts';
import { isSharded } from './sliced-weights.ts';

export interface SumOptions {
  readonly allReduce: SumAlgorithm;
  readonly sharding: Sharding;
}

type Gradients = ReadonlyMap<string, Tensor>;

/**
 * Σ of the replicas' gradients, at one of them; inside a compiled function.
 * @param entries the parameters. Of sliced ones the gradients are slices of the sums already.
 */
export function sumGradients(
  runtime: Runtime,
  own: Gradients,
  entries: WeightEntries,
  { allReduce, sharding }: SumOptions,
): BatchGradients {
  if (!isSharded(runtime, sharding)) return atOneOrigin(() => sumAllOverReplicas(own, allReduce));
  const shapes = new Map([...own.keys()].map((name) => [name, entries.get(name)!.spec.shape]));
  if (sharding === 'parameters') return SlicedGradients.of(own, shapes, allReduce);
  return SlicedGradients.of(
    atOneOrigin(() => sumToSlices(own, allReduce)),
    shapes,
    allReduce,
  );
}

/** Sums over the parts that a replica takes one after the other. */
export const accumulatorFor = (
  runtime: Runtime,
  prefix: string,
  entries: WeightEntries,
  { allReduce, sharding }: SumOptions,
): GradientAccumulator => {
  const isSliced = isSharded(runtime, sharding) && sharding !== 'optimizer';
  const areSummed = sharding === 'parameters';
  return new GradientAccumulator(runtime, prefix, entries, { isSliced, areSummed, allReduce });
};

/** Σ of the replicas' accumulated gradients, at one of them; inside a compiled function. */
export const sumAccumulated = (
  runtime: Runtime,
  sums: GradientAccumulator,
  entries: WeightEntries,
  options: SumOptions,
): BatchGradients =>
  sums.isSliced ? sums.readSlices() : sumGradients(runtime, sums.read(), entries, options);
