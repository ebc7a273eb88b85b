// The training state written as a checkpoint of a run.

import { isFiniteTensor, type TensorArray } from '../../checkpoint/dtype.ts';
import { RunCheckpoints } from '../../checkpoint/run-checkpoints.ts';
import { type CheckpointContents, type TensorSources, writeCheckpoint } from '../../checkpoint/write.ts';
import { divergence } from '../optim/divergence.ts';
import { besideMoments, type ModelState } from './state.ts';
import type { CarriedParts } from './task.ts';

export interface SavedStep extends Pick<CheckpointContents, 'kind' | 'step' | 'dataPosition' | 'metrics'> {
  readonly config: { readonly seed: number; readonly train: { readonly keep: number } };
  readonly state: ModelState;
  readonly carried?: CarriedParts | undefined;
}

/**
 * Writes the checkpoint of a step into the run folder and removes old ones; returns its path.
 * @throws DataError when a weight is not finite, or the disk is full or read-only; existing checkpoints stay
 */
export async function saveStep(run: string, saved: SavedStep): Promise<string> {
  const { step, config, state, carried, ...contents } = saved;
  const checkpoints = new RunCheckpoints(run);
  const model = await finiteWeights(state, () => divergence('weights are', step, run));
  const path = checkpoints.path(step);
  await writeCheckpoint(path, {
    ...contents,
    ...carried,
    step,
    seed: config.seed,
    config,
    model,
    ema: state.ema?.slices ? state.ema.slices.sources() : await state.ema?.weights.save(),
    optimizer: await saveOptimizer(state),
  });
  await checkpoints.prune(config.train.keep, step);
  return path;
}

/** The weights, checked; those that are sliced, when they are written. */
async function finiteWeights(
  { weights, slicedWeights }: ModelState,
  failure: () => Error,
): Promise<TensorSources> {
  const checked = <T extends TensorArray>(data: T): T => {
    if (isFiniteTensor({ data })) return data;
    throw failure();
  };
  if (slicedWeights) {
    return [...slicedWeights.sources()].map(([name, { data, ...info }]) => [
      name,
      { ...info, data: async () => checked(typeof data === 'function' ? await data() : data) },
    ]);
  }
  const model = await weights.save();
  for (const { data } of model.values()) checked(data);
  return model;
}

async function saveOptimizer(state: ModelState): Promise<TensorSources> {
  const { slicedMoments } = state.optimizer;
  const parts = [...(slicedMoments ? [] : [state.optimizer.moments]), ...besideMoments(state)];
  const saved = (await Promise.all(parts.map((weights) => weights.save()))).flatMap((values) => [...values]);
  return [...(slicedMoments?.sources() ?? []), ...saved];
}
