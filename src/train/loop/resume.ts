// The training state read back from the newest checkpoint of a run.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { TensorData } from '../../checkpoint/dtype.ts';
import { matchTensors } from '../../checkpoint/match.ts';
import { assertTrainable } from '../../checkpoint/read.ts';
import type { Part } from '../../checkpoint/state.ts';
import type { ModelKind } from '../../config/kind.ts';
import type { Metrics } from '../../eval/evaluator.ts';
import type { Weights } from '../../nn/weights.ts';
import type { RunFolder } from '../../report/run/folder.ts';
import type { Logger } from '../../util/logger.ts';
import type { Adam } from '../optim/adam.ts';
import { besideMoments, type ModelState } from './state.ts';

/** Where a resumed run continues. */
export interface ResumedState {
  /** The checkpoint's path. */
  readonly checkpoint: string;
  /** Updates made in earlier sessions of the run. */
  readonly step: number;
  /** Position in the data after the last update. */
  readonly dataPosition: unknown;
  /** The last validation metrics. */
  readonly metrics: Metrics;
}

/**
 * Loads the newest whole checkpoint of the run, and drops what was logged after it. What is sliced is left to
 * `restoreSlices`.
 * @returns the checkpoint; undefined when the run was interrupted before its first, so that it starts again
 * @throws DataError when the checkpoint is of another kind, or does not fit the model
 */
export async function resumeRun(
  run: RunFolder,
  kind: ModelKind,
  state: ModelState,
  log: Logger,
): Promise<Checkpoint | undefined> {
  const checkpoint = await run.checkpoints.load(
    { optimizer: true, warn: (message) => log.warn(message) },
    async (newest) => {
      assertTrainable(newest, kind, true);
      if (!state.slicedWeights) await load(state.weights, newest, 'model');
      await loadOptimizer(state, newest);
      if (state.ema && !state.ema.slices) await load(state.ema.weights, newest, 'ema');
      // What is read later.
      await newest.verify({ optimizer: true });
      return newest;
    },
  );
  if (checkpoint === undefined) {
    await run.truncateAfter(-1);
    log.info('no checkpoint to resume from; starting again');
    return undefined;
  }
  await run.truncateAfter(checkpoint.state.step);
  log.info(`resuming from step ${checkpoint.state.step}`);
  return checkpoint;
}

export function resumedState({ path, state }: Checkpoint): ResumedState {
  const { step, dataPosition } = state;
  const metrics = Object.entries(state.metrics).map(([name, value]) => [name, value ?? Number.NaN]);
  return { checkpoint: path, step, dataPosition, metrics: Object.fromEntries(metrics) as Metrics };
}

const load = (weights: Weights, checkpoint: Checkpoint, part: Part): Promise<void> =>
  weights.loadEach(checkpoint.tensors(part, weights.fileOptions));

/** Whether a tensor of the optimizer's file is a moment. */
export const isMoment = (name: string): boolean => /^[mv]\./.test(name);

/** Loads the moments and what is saved beside them; variables that the run did not have yet are initialized. */
async function loadOptimizer(state: ModelState, checkpoint: Checkpoint): Promise<void> {
  const all = await loadMoments(state.optimizer, checkpoint);
  for (const weights of besideMoments(state)) {
    const expected = weights.expected();
    const roots = new Set(expected.map(([name]) => name.split('.')[0]));
    const values = new Map([...all].filter(([name]) => roots.has(name.split('.')[0] as string)));
    if (values.size === 0) {
      await weights.initialize(checkpoint.state.seed);
      continue;
    }
    matchTensors(values, expected, checkpoint.path);
    await weights.load(values);
  }
}

/** Loads the moments, unless they are sliced. @returns what is saved beside them */
async function loadMoments(
  optimizer: Adam,
  checkpoint: Checkpoint,
): Promise<ReadonlyMap<string, TensorData>> {
  if (optimizer.slicedMoments) return checkpoint.readSome('optimizer', (name) => !isMoment(name));
  const beside = new Map<string, TensorData>();
  const { moments } = optimizer;
  async function* ofMoments() {
    const options = { ...moments.fileOptions, isExpected: isMoment };
    for await (const [name, tensor] of checkpoint.tensors('optimizer', options))
      if (isMoment(name)) yield [name, tensor] as const;
      else beside.set(name, tensor);
  }
  await moments.loadEach(ofMoments());
  return beside;
}
