// The training state on several devices, those of other workers too: the same on all of them. The first device of worker
// 0 initializes, loads, evaluates and saves; the others get its state before the first update.

import type { Sharding } from '../../config/fields.ts';
import type { ModelKind } from '../../config/kind.ts';
import { copyToReplicas, countDifferences } from '../../engine/distributed/replicas.ts';
import type { SumAlgorithm } from '../../engine/distributed/sums.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { ReplicaDevices } from '../../engine/tfjs/trace.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import type { SpecTree } from '../../nn/parameters.ts';
import type { Weights } from '../../nn/weights.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import { type ModelState, sharedState } from '../loop/state.ts';
import { Ema, type EmaConfig } from '../optim/ema.ts';
import { isSharded, type SlicedWeights } from './sliced-weights.ts';

/** The EMA, where there is one: sliced on all replicas, or whole in the process that evaluates and saves. */
export function emaFor<S extends SpecTree>(
  runtime: Runtime,
  prefix: string,
  weights: Weights<S>,
  { ema, sharding }: { readonly ema?: EmaConfig | undefined; readonly sharding: Sharding },
  slices?: SlicedWeights,
): Ema<S> | undefined {
  const isHere = isSharded(runtime, sharding) || runtime.replicas.first === 0;
  return ema && isHere ? new Ema(runtime, prefix, weights, ema, sharding, slices) : undefined;
}

export class ReplicatedState {
  readonly #copy;
  readonly #compare;
  readonly #replicas: ReplicaDevices;
  readonly #state: ModelState;

  constructor(runtime: Runtime, state: ModelState) {
    this.#replicas = runtime.replicas;
    this.#state = state;
    const variables = (): Variable[] => sharedState(state).flatMap((weights) => weights.variables);
    this.#copy = runtime.compile('copy the state to all devices', () => {
      copyToReplicas(variables());
      return {};
    });
    this.#compare = runtime.compile('compare the state of all devices', () => ({
      differences: countDifferences(variables()),
    }));
  }

  /** Gives all devices the state of the first. */
  async copy(): Promise<void> {
    if (this.#replicas.count > 1 && sharedState(this.#state).length > 0) await this.#copy({});
  }

  /** @throws DataError when the state of a device of this process differs from that of the first, in any bit */
  async assertSame(step: number): Promise<void> {
    if (this.#replicas.names.length === 1) return;
    const { differences } = await this.#compare({});
    const [count] = differences.data;
    if (count === 0) return;
    const all = sharedState(this.#state).flatMap(({ variables }) => variables).length;
    throw new DataError(
      `the devices differ in ${count} of ${all} weights and moments after ${step} updates`,
      {
        code: 'E_DEVICE_WEIGHTS',
        fix: 'use devices of one model, and no other program on them; the last checkpoint is good: continue with `resume`',
      },
    );
  }
}

/**
 * Checks that a batch has equal parts for all.
 * @param accumulateSteps parts that one device takes after each other
 * @throws UsageError
 */
export function assertDivisible(
  batch: number,
  { workers = 1, devices = 1, accumulateSteps = 1 },
  accumulateKey = 'train.accumulateSteps',
): void {
  const parts = workers * devices * accumulateSteps;
  if (batch % parts === 0) return;
  const factors = [
    ...(workers > 1 ? [`${workers} workers`] : []),
    ...(devices > 1 ? [`${devices} devices`] : []),
    ...(accumulateSteps > 1 ? [`${accumulateKey} ${accumulateSteps}`] : []),
  ];
  throw new UsageError(`train.batch ${batch} cannot be shared equally among ${factors.join(' × ')}`, {
    code: 'E_BATCH_NOT_DIVISIBLE',
    option: workers > 1 ? 'workers' : 'devices',
    fix: `set train.batch to a multiple of ${parts}`,
  });
}

/** @throws UsageError for a sum that the devices cannot compute */
export function assertSummable(allReduce: SumAlgorithm, { areGpus }: ReplicaDevices): void {
  if (allReduce !== 'nccl' || areGpus) return;
  throw new UsageError('NCCL sums over GPUs, and the devices are CPUs', {
    code: 'E_ALL_REDUCE',
    option: 'train.allReduce',
    fix: 'set train.allReduce to order or ring',
  });
}

/** @throws UsageError for a division of the training state that the trainer does not have */
export function assertShardable(sharding: Sharding, kind: ModelKind): void {
  if (sharding !== 'parameters' || kind === 'dalle') return;
  throw new UsageError('only mm train-dalle divides the weights among devices', {
    code: 'E_SHARDING',
    option: 'train.sharding',
    fix: 'set train.sharding to gradients or optimizer',
  });
}
