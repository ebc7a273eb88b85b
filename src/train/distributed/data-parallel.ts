// Data-parallel training: all workers make the same updates. Worker 0 owns the run folder, evaluates, samples images
// and saves; it broadcasts the results that the others need.

import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Cluster } from '../../cluster/cluster.ts';
import type { Metrics } from '../../eval/evaluator.ts';
import { DataError } from '../../util/errors.ts';
import type { SaveStep } from '../loop/loop.ts';
import type { ResumedState } from '../loop/resume.ts';
import { type ModelState, sharedState, slicedState } from '../loop/state.ts';
import type { LoopTask, TrainingTask } from '../loop/task.ts';

/** Wraps a task, whose `update` is collective already: worker 0 evaluates and samples images for all. */
export function dataParallelTask<Batch>(
  cluster: Cluster,
  task: Omit<TrainingTask<Batch>, 'batches' | 'state'>,
): LoopTask<Batch> {
  const { isPrimary } = cluster;
  return {
    update: (step, batch) => task.update(step, batch),
    async evaluate(step) {
      const text = await cluster.broadcastText(isPrimary ? toText(await task.evaluate(step)) : undefined);
      const metrics = fromText(text);
      if (!isPrimary) task.restore?.(metrics);
      return metrics;
    },
    sampleImage: async (step) => (isPrimary ? task.sampleImage(step) : undefined),
    /** The tensor that the lowest rank found, with the images of this worker's part. */
    async diagnose(step, batch) {
      const own = await task.diagnose?.(step, batch);
      const tensors = await cluster.gatherTexts(own?.tensor ?? '');
      return { tensor: tensors.find((found) => found !== ''), files: own?.files ?? [] };
    },
  };
}

/**
 * Wraps the saving of a checkpoint: all workers check that their weights are equal, then worker 0 saves.
 * @throws DataError when the weights of a worker differ
 */
export function dataParallelSave<Batch>(
  cluster: Cluster,
  state: ModelState,
  save: SaveStep<Batch>,
): SaveStep<Batch> {
  return async (step, batch, metrics) => {
    await cluster.assertSame('weights', await fingerprint(state), (rank) => weightsDiffer(rank, step));
    if (!cluster.isPrimary) {
      // In the order in which worker 0 writes the files.
      for (const slices of slicedState(state)) await slices.send();
      await state.residuals?.send();
    }
    const path = await cluster.broadcastText(
      cluster.isPrimary ? await save(step, batch, metrics) : undefined,
    );
    // A worker that ended here would take along residuals that another has not received yet.
    await cluster.anyTrue(false);
    return path;
  };
}

/**
 * The least number of threads of a worker. With other numbers, sums over gradients would differ in their last bits.
 * @param own the number of this worker
 */
export async function minThreads(cluster: Cluster, own: number): Promise<number> {
  return Math.min(...(await cluster.gather(Float64Array.of(own))).map(([count]) => count as number));
}

/** The results of the parts of all workers, in the order of the parts; each worker has as many, of the same names. */
export async function gatherResults<T extends Readonly<Record<string, number>>>(
  cluster: Cluster,
  own: readonly T[],
): Promise<T[]> {
  const names = Object.keys(own[0] ?? {});
  const row = Float64Array.from(own.flatMap((values) => names.map((name) => values[name] as number)));
  const all = (await cluster.gather(row)).flatMap((values) => [...values]);
  return Array.from(
    { length: own.length * cluster.workers },
    (_, part) =>
      Object.fromEntries(names.map((name, i) => [name, all[part * names.length + i] as number])) as T,
  );
}

/** Tells all workers where worker 0 resumes, if it does. */
export async function broadcastStart(
  cluster: Cluster,
  resumed: ResumedState | undefined,
): Promise<ResumedState | undefined> {
  const own = resumed && { ...resumed, metrics: toText(resumed.metrics) };
  const start = startSchema.parse(JSON.parse(await cluster.broadcastText(JSON.stringify(own ?? null))));
  return start ? { ...start, metrics: fromText(start.metrics) } : undefined;
}

const startSchema = z
  .object({ checkpoint: z.string(), step: z.int().min(0), dataPosition: z.json(), metrics: z.string() })
  .nullable();

const metricsSchema = z.array(z.tuple([z.string(), z.string()]));

/** Metrics as JSON that keeps values that are not finite. */
const toText = (metrics: Metrics): string =>
  JSON.stringify(Object.entries(metrics).map(([name, value]) => [name, String(value)]));

const fromText = (text: string): Metrics =>
  Object.fromEntries(metricsSchema.parse(JSON.parse(text)).map(([name, value]) => [name, Number(value)]));

async function fingerprint(state: ModelState): Promise<string> {
  const hash = createHash('sha256');
  for (const weights of sharedState(state)) {
    for (const { data } of (await weights.save()).values()) hash.update(data as Float32Array);
  }
  return hash.digest('hex');
}

const weightsDiffer = (rank: number, step: number): DataError =>
  new DataError(`worker ${rank} has other weights than worker 0 after ${step} updates`, {
    code: 'E_WORKER_WEIGHTS',
    fix: 'give all workers machines of one kind; the last checkpoint is good: continue with `resume`',
  });
