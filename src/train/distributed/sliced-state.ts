// The part of the training state that each replica has slices of (train.sharding): restored from a checkpoint by worker
// 0 for all, and shown, gathered, where it is evaluated.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { widen } from '../../checkpoint/half.ts';
import { matchTensors } from '../../checkpoint/match.ts';
import type { Part } from '../../checkpoint/state.ts';
import { eachReplica } from '../../engine/distributed/replicas.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { SaveStep } from '../loop/loop.ts';
import { isMoment } from '../loop/resume.ts';
import type { ModelState } from '../loop/state.ts';
import type { LoopTask } from '../loop/task.ts';
import type { SlicedWeights } from './sliced-weights.ts';

export interface SlicesOrigin {
  /** Whether the run resumes from a checkpoint. */
  readonly isResumed: boolean;
  /** At worker 0, the checkpoint. */
  readonly checkpoint: Checkpoint | undefined;
}

/**
 * Gives each replica its slices of the moments and the EMA: those of the checkpoint, or zeros and the weights. All
 * workers call it together, once all replicas have the weights.
 * @throws DataError when the checkpoint does not fit the model
 */
export async function restoreSlices(
  runtime: Runtime,
  { ema, optimizer }: ModelState,
  { isResumed, checkpoint }: SlicesOrigin,
): Promise<void> {
  const { slicedMoments } = optimizer;
  if (isResumed) {
    if (slicedMoments) await deal(slicedMoments, checkpoint, 'optimizer', isMoment);
    if (ema?.slices) await deal(ema.slices, checkpoint, 'ema');
    return;
  }
  await slicedMoments?.clear();
  if (!ema?.slices) return;
  const start = runtime.compile('start the sliced EMA', () => {
    eachReplica(() => ema.start());
    return {};
  });
  await start({});
}

async function deal(
  slices: SlicedWeights,
  checkpoint: Checkpoint | undefined,
  part: Part,
  isOfPart: (name: string) => boolean = () => true,
): Promise<void> {
  if (!checkpoint) return slices.deal(undefined);
  const file = await checkpoint.file(part);
  try {
    const found = new Map(file.names.filter(isOfPart).map((name) => [name, file.info(name)]));
    matchTensors(found, slices.expected(), file.path);
    await slices.deal(async (name) => widen(await file.read(name)).data as Float32Array);
  } finally {
    await file.close();
  }
}

/** A task that shows a sliced EMA instead of the weights while it evaluates; all workers run it. */
export function withShownEma<Batch>(
  { ema }: Pick<ModelState, 'ema'>,
  task: LoopTask<Batch>,
): LoopTask<Batch> {
  if (!ema?.slices) return task;
  return {
    ...(task.waited && { waited: (batch) => task.waited!(batch) }),
    ...(task.diagnose && { diagnose: (step, batch) => task.diagnose!(step, batch) }),
    async update(step, batch) {
      await ema.show(false);
      return task.update(step, batch);
    },
    async evaluate(step) {
      await ema.show(true);
      return task.evaluate(step);
    },
    async sampleImage(step) {
      await ema.show(true);
      return task.sampleImage(step);
    },
  };
}

/** The saving of a checkpoint with the weights in their place; all workers run it. */
export const withHiddenEma =
  <Batch>({ ema }: Pick<ModelState, 'ema'>, save: SaveStep<Batch>): SaveStep<Batch> =>
  async (step, batch, metrics) => {
    await ema?.show(false);
    return save(step, batch, metrics);
  };
