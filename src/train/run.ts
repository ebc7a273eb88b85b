// A training run, the same for every model: its folder, where it begins or goes on, the loop, the end.

import type { z } from 'zod';
import { dumpConfig } from '../config/load.ts';
import type { BatchPosition } from '../data/order.ts';
import type { Faults } from '../data/sources/faults.ts';
import { Runtime } from '../engine/session/runtime.ts';
import { threadsInUse, useThreads } from '../engine/session/threads.ts';
import { RunFolder } from '../report/run/folder.ts';
import { DataError } from '../util/errors.ts';
import { assertWritable } from '../util/files.ts';
import { alsoLogTo } from '../util/logger.ts';
import { broadcastInitialState, dataParallelTask, minThreads } from './distributed/data-parallel.ts';
import {
  type LoopResult,
  type LoopSchedule,
  type ResumedState,
  type RunWriter,
  type TrainingTask,
  trainLoop,
} from './loop/loop.ts';
import { assertSameModel, initialize, type ModelState, resumeRun } from './loop/resume.ts';
import type { RunContext } from './loop/run-context.ts';

/** A model and its data, ready to be trained. */
export interface Training<Batch> {
  readonly task: TrainingTask<Batch> & { readonly state: ModelState };
  /** Endless, from a place in the data on. */
  batches(position: BatchPosition | undefined): AsyncIterator<Batch>;
  /** Changes what the initializers drew, when a run begins. */
  onStart?(): Promise<void>;
  /** Looks at what a run goes on from; refuses other parts than it began with. */
  onResume?(from: ResumedState): Promise<void>;
}

export interface TrainingRun<Batch> {
  readonly kind: 'dvae' | 'dalle' | 'clip';
  readonly config: { readonly seed: number; readonly train: LoopSchedule };
  /** What of the data was left out; summed up at the end. */
  readonly faults: Faults;
  build(runtime: Runtime): Promise<Training<Batch>>;
}

/**
 * Refuses a folder that the run would not begin or go on in, before any data is read.
 * @throws UsageError when a new run's folder is not empty, or a resumed run has another model or seed, or is not there
 * @throws DataError when it cannot be written to
 */
export async function checkRun<S extends z.ZodType<{ model: unknown; seed: number }>>(
  schema: S,
  config: z.output<S>,
  { path, resume, cluster }: RunContext,
): Promise<void> {
  if (cluster && !cluster.isPrimary) return;
  if (resume) assertSameModel(schema, path, config);
  else await RunFolder.refuseFilled(path);
  await assertWritable(path);
}

/** What workers that do not lead write down. */
const nothing = (path: string): RunWriter => ({ path, log: () => {}, image: async () => '' });

/**
 * Trains into the run folder, which is worker 0's where there are several.
 * @throws UsageError, DataError, EngineError, InterruptedError as `build` and `trainLoop` do
 */
export async function runTraining<Batch>(
  { kind, config, faults, build }: TrainingRun<Batch>,
  context: RunContext,
): Promise<LoopResult> {
  const { path, resume, log, progress, signal, cluster } = context;
  if (cluster) {
    const own = threadsInUse();
    const threads = await minThreads(cluster, own);
    if (threads < own) log.info(`${threads} threads of ${own}, as many as the worker that has the fewest`);
    if (threads < own) useThreads(threads);
  }
  const runtime = new Runtime();
  try {
    await cluster?.assertSame('libtensorflow', runtime.tensorflowVersion);
    const { task, batches, onStart, onResume } = await build(runtime);
    const run =
      cluster && !cluster.isPrimary
        ? undefined
        : await RunFolder.open(path, { resume, config: dumpConfig(config) });
    const endLog = run && alsoLogTo(log, run.logFile);
    try {
      let resumed = run && resume ? await resumeRun(run, kind, task.state, log) : undefined;
      if (resumed) await onResume?.(resumed);
      else if (run) {
        await initialize(runtime, task.state, config.seed);
        await onStart?.();
      }
      if (cluster) resumed = await broadcastInitialState(cluster, task.state, resumed, log);
      if (resumed) task.resume?.(resumed.evaluation);
      return await trainLoop({
        label: `train-${kind}`,
        task: cluster ? dataParallelTask(cluster, task) : task,
        batches: batches((resumed?.dataPosition ?? undefined) as BatchPosition | undefined),
        schedule: config.train,
        resumed,
        run: run ?? nothing(path),
        progress,
        log,
        signal,
        stops: cluster && ((isAsked) => cluster.anyTrue(isAsked)),
      });
    } finally {
      endLog?.();
      run?.close();
    }
  } finally {
    faults.summarize();
    await runtime.close();
  }
}

/** Throws DataError when the captioned images to train on do not fill a batch. */
export function assertEnoughImages(count: number, batch: number, where: string): void {
  if (count >= batch) return;
  throw new DataError(`${count} captioned images are fewer than one batch of ${batch}`, {
    where,
    fix: 'add images, or lower train.batch',
  });
}
