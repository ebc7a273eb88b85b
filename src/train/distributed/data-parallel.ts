// A training run of several workers: worker 0 has the run's folder, looks at held-out data, draws and saves; what the
// others need of that reaches them, so that all make the same updates.

import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Cluster } from '../../cluster/cluster.ts';
import { DataError } from '../../util/errors.ts';
import type { Logger } from '../../util/logger.ts';
import type { Metrics, ResumedState, TrainingTask } from '../loop/loop.ts';
import { type ModelState, sharedState } from '../loop/resume.ts';
import { openCarriedParts } from '../loop/resume-checks.ts';
import { scatterResiduals, sendResiduals } from './error-feedback.ts';

/** `task` as one of several workers; its `update` is theirs together already. */
export function dataParallelTask<Batch>(
  cluster: Cluster,
  task: TrainingTask<Batch> & { readonly state: ModelState },
): TrainingTask<Batch> {
  const { isPrimary: leads } = cluster;
  return {
    update: (step, batch) => task.update(step, batch),
    async evaluate(step) {
      const text = await cluster.broadcastText(leads ? toText(await task.evaluate(step)) : undefined);
      const figures = fromText(text);
      if (!leads) task.resume?.(figures);
      return figures;
    },
    sampleImage: async (step) => (leads ? task.sampleImage(step) : undefined),
    async save(step, batch, evaluation) {
      await cluster.assertSame('weights', await fingerprint(task.state), (rank) => weightsDiffer(rank, step));
      const { residuals } = task.state;
      if (!leads && residuals) await sendResiduals(cluster, residuals);
      return cluster.broadcastText(leads ? await task.save(step, batch, evaluation) : undefined);
    },
    /** What the first worker found that found something, with the images of its part. */
    async diagnose(step, batch) {
      const own = await task.diagnose?.(step, batch);
      const tensors = await cluster.gatherTexts(own?.tensor ?? '');
      return { tensor: tensors.find((found) => found !== ''), files: own?.files ?? [] };
    },
  };
}

/**
 * How many threads all workers have; where they differ, sums over gradients would, too.
 * @param own those of this worker
 */
export async function minThreads(cluster: Cluster, own: number): Promise<number> {
  return Math.min(...(await cluster.gather(Float64Array.of(own))).map(([count]) => count as number));
}

/**
 * Begins where worker 0 begins: with its weights, and what else the updates depend on.
 * @param resumed what worker 0 goes on from, if it does
 */
export async function broadcastInitialState(
  cluster: Cluster,
  state: ModelState,
  resumed: ResumedState | undefined,
  log: Logger,
): Promise<ResumedState | undefined> {
  for (const weights of sharedState(state)) {
    const values = cluster.isPrimary ? await weights.save() : weights.zeros();
    await cluster.broadcast([...values.values()].map(({ data }) => data as Float32Array));
    if (!cluster.isPrimary) await weights.load(values);
  }
  if (state.residuals) {
    const checkpoint = resumed && (await openCarriedParts(resumed.checkpoint));
    await scatterResiduals(cluster, state.residuals, checkpoint, log);
  }
  const own = resumed && { ...resumed, evaluation: toText(resumed.evaluation) };
  const text = await cluster.broadcastText(JSON.stringify(own ?? null));
  const start = startSchema.parse(JSON.parse(text));
  return start ? { ...start, evaluation: fromText(start.evaluation) } : undefined;
}

const startSchema = z
  .object({ checkpoint: z.string(), step: z.int().min(0), dataPosition: z.json(), evaluation: z.string() })
  .nullable();

const figuresSchema = z.array(z.tuple([z.string(), z.string()]));

/** Figures, those that are not finite included. */
const toText = (figures: Metrics): string =>
  JSON.stringify(Object.entries(figures).map(([name, value]) => [name, String(value)]));

const fromText = (text: string): Metrics =>
  Object.fromEntries(figuresSchema.parse(JSON.parse(text)).map(([name, value]) => [name, Number(value)]));

async function fingerprint(state: ModelState): Promise<string> {
  const hash = createHash('sha256');
  for (const weights of sharedState(state)) {
    for (const { data } of (await weights.save()).values()) hash.update(data as Float32Array);
  }
  return hash.digest('hex');
}

const weightsDiffer = (rank: number, step: number): DataError =>
  new DataError(`worker ${rank} has other weights than worker 0 after ${step} updates`, {
    fix: 'give all workers machines of one kind; the last checkpoint is good: go on with --resume',
  });
