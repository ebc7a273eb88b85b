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
import type { ShownWeights, SlicedWeights } from './sliced-weights.ts';

export interface SlicesOrigin {
  /** Whether the run resumes from a checkpoint. */
  readonly isResumed: boolean;
  /** At worker 0, the checkpoint. */
  readonly checkpoint: Checkpoint | undefined;
}

/**
 * Gives each replica its slices of weights, moments and EMA: those of the checkpoint, or the initial ones. All
 * workers call it together, once the first replica has its weights, and the others where these are not sliced.
 * @throws DataError when the checkpoint does not fit the model
 */
export async function restoreSlices(
  runtime: Runtime,
  { weights, slicedWeights, ema, optimizer }: ModelState,
  { isResumed, checkpoint }: SlicesOrigin,
): Promise<void> {
  const { slicedMoments } = optimizer;
  if (isResumed) {
    if (slicedWeights) await deal(slicedWeights, checkpoint, 'model');
    if (slicedMoments) await deal(slicedMoments, checkpoint, 'optimizer', isMoment);
    if (ema?.slices) await deal(ema.slices, checkpoint, 'ema');
    return;
  }
  await slicedWeights?.divide(weights);
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

type Shown = Pick<ModelState, 'ema' | 'shownWeights'>;

const shownIn = ({ shownWeights, ema }: Shown): Pick<ShownWeights, 'show'> | undefined =>
  shownWeights ?? (ema?.slices ? ema : undefined);

/** A task that shows whole weights, or their EMA, while it evaluates; all workers run it. */
export function withShown<Batch>(state: Shown, task: LoopTask<Batch>): LoopTask<Batch> {
  const shown = shownIn(state);
  if (!shown) return task;
  return {
    ...(task.waited && { waited: (batch) => task.waited!(batch) }),
    ...(task.diagnose && { diagnose: (step, batch) => task.diagnose!(step, batch) }),
    async update(step, batch) {
      await shown.show(false);
      return task.update(step, batch);
    },
    async evaluate(step) {
      await shown.show(true);
      return task.evaluate(step);
    },
    async sampleImage(step) {
      await shown.show(true);
      return task.sampleImage(step);
    },
  };
}

/** The saving of a checkpoint with the weights as they are trained; all workers run it. */
export const withHidden =
  <Batch>(state: Shown, save: SaveStep<Batch>): SaveStep<Batch> =>
  async (step, batch, metrics) => {
    await shownIn(state)?.show(false);
    return save(step, batch, metrics);
  };
