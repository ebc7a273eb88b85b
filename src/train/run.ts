// A training run, the same for every model: checked, opened, resumed or initialized, then looped.

import type { z } from 'zod';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Recompute, Sharding } from '../config/fields.ts';
import type { ModelKind } from '../config/kind.ts';
import type { BatchPosition } from '../data/order.ts';
import { Faults } from '../data/sources/faults.ts';
import type { SumAlgorithm } from '../engine/distributed/sums.ts';
import type { Precision } from '../engine/graph/precision.ts';
import type { Runtime } from '../engine/session/runtime.ts';
import { readRunConfig } from '../report/run/config.ts';
import { noRunToResume, RunFolder } from '../report/run/folder.ts';
import { assertWritable } from '../util/files.ts';
import { alsoLogTo } from '../util/logger.ts';
import { assertSameConfiguration } from './distributed/agreement.ts';
import { broadcastStart, dataParallelSave, dataParallelTask } from './distributed/data-parallel.ts';
import { assertShardable, assertSummable, ReplicatedState } from './distributed/replicas.ts';
import { restoreSlices, withHidden, withShown } from './distributed/sliced-state.ts';
import { type LoopResult, type LoopSchedule, type RunWriter, type SaveStep, trainLoop } from './loop/loop.ts';
import { type ResumedState, resumedState, resumeRun } from './loop/resume.ts';
import { assertSameRun, type ResumableConfig } from './loop/resume-checks.ts';
import type { OpenContext, RunContext } from './loop/run-context.ts';
import { saveStep } from './loop/save.ts';
import { initialize } from './loop/state.ts';
import type { TrainingTask } from './loop/task.ts';
import { measuredPrecisionAdvice } from './precision-advice.ts';
import { RunEngine } from './run-engine.ts';

export interface TrainingConfig extends ResumableConfig {
  readonly train: LoopSchedule & {
    readonly keep: number;
    readonly allReduce: SumAlgorithm;
    readonly sharding: Sharding;
    readonly precision: Precision;
    readonly recompute?: Recompute | undefined;
  };
  readonly data: ResumableConfig['data'] & { readonly maxBad?: number | undefined };
}

/** A model that can be trained. */
export interface Trainable<Given, Config extends TrainingConfig, Batch> {
  readonly kind: ModelKind;
  readonly schema: z.ZodType<Config>;
  /** Opens the parts of the model, whose sizes the given configuration need not repeat. */
  prepare(given: Given, context: RunContext): Promise<Prepared<Config, Batch>>;
}

export interface Prepared<Config, Batch> {
  /** The resolved configuration. */
  readonly config: Config;
  /** Reads and checks everything else that the run needs, then declares the model. */
  open(context: OpenContext): Promise<TrainingTask<Batch>>;
}

/** What is needed from the batches of every model. */
interface Placed {
  /** Position in the data after the batch. */
  readonly position: BatchPosition | undefined;
}

/**
 * Trains into the run folder, which is worker 0's where there are several workers.
 * @throws UsageError when a new run's folder is not empty, or a resumed run has another model or seed, or is missing
 * @throws DataError, EngineError, InterruptedError as `prepare`, `open` and `trainLoop` do
 */
export async function runTraining<Given, Config extends TrainingConfig, Batch extends Placed>(
  { kind, schema, prepare }: Trainable<Given, Config, Batch>,
  given: Given,
  context: RunContext,
): Promise<LoopResult> {
  const { log, cluster, path, resume } = context;
  const isPrimary = cluster?.isPrimary ?? true;
  // The run folder is checked before any data is read; only worker 0 has one.
  if (isPrimary) await assertUsable(context);
  const { config, open } = await prepare(given, context);
  assertShardable(config.train.sharding, kind);
  if (cluster) await assertSameConfiguration(cluster, kind, config);
  const stored = isPrimary && resume ? await assertSameRun(kind, schema, path, config) : undefined;
  const faults = new Faults(log, { maxBad: config.data.maxBad });
  const engine = new RunEngine(cluster, log, context.devices);
  try {
    const task = await open({ ...context, faults, engine, stored });
    assertSummable(config.train.allReduce, engine.runtime.replicas);
    if (config.train.sharding !== 'none' && engine.runtime.replicas.count === 1)
      log.warn('train.sharding has no effect with one device');
    const advice = await measuredPrecisionAdvice(engine.runtime, config.train.precision);
    if (advice) log.info(advice);
    // Stored in the schema's order of keys, whether they were given or chosen.
    const chosen = schema.parse(task.config);
    return await trainInFolder(task, { kind, config: chosen, context, runtime: engine.runtime });
  } finally {
    faults.summarize();
    await engine.close();
  }
}

async function assertUsable({ path, resume }: RunContext): Promise<void> {
  if (!resume) await RunFolder.assertEmpty(path);
  else if (!(await readRunConfig(path))) throw noRunToResume(path);
  await assertWritable(path);
}

interface Opened {
  readonly kind: ModelKind;
  readonly config: TrainingConfig;
  readonly context: RunContext;
  readonly runtime: Runtime;
}

async function trainInFolder<Batch extends Placed>(
  task: TrainingTask<Batch>,
  opened: Opened,
): Promise<LoopResult> {
  const { kind, config, context } = opened;
  const { path, resume, log, progress, signal, cluster } = context;
  const isPrimary = cluster?.isPrimary ?? true;
  const run = isPrimary ? await RunFolder.open(path, { resume, kind, config }) : undefined;
  const endLog = run && alsoLogTo(log, run.logFile);
  try {
    const checkpoint = run && (await resumeOrInitialize(run, task, opened));
    let resumed = checkpoint && resumedState(checkpoint);
    if (cluster) resumed = await broadcastStart(cluster, resumed);
    if (resumed) task.restore?.(resumed.metrics);
    const replicated = new ReplicatedState(opened.runtime, task.state);
    await replicated.copy();
    await restoreSlices(opened.runtime, task.state, { isResumed: resumed !== undefined, checkpoint });
    if (cluster) await task.state.residuals?.restore(cluster, checkpoint, log);
    log.debug({ event: 'session', from: resumed?.step ?? 0 }, 'session');
    const save: SaveStep<Batch> = async (step, batch, metrics) => {
      await replicated.assertSame(step);
      return saveStep(path, {
        kind,
        step,
        config,
        state: task.state,
        dataPosition: batch?.position ?? null,
        metrics,
        carried: await task.carried?.(),
      });
    };
    return await trainLoop({
      label: `train-${kind}`,
      task: withShown(task.state, cluster ? dataParallelTask(cluster, task) : task),
      batches: task.batches(positionOf(resumed)),
      save: withHidden(task.state, cluster ? dataParallelSave(cluster, task.state, save) : save),
      schedule: config.train,
      resumed,
      run: run ?? silentWriter(path),
      progress,
      log,
      signal,
      stops: cluster && ((isAborted) => cluster.anyTrue(isAborted)),
    });
  } finally {
    endLog?.();
    run?.close();
  }
}

/** Gives the weights their values: those of the newest checkpoint, which is returned, or initial ones. */
async function resumeOrInitialize<Batch>(
  run: RunFolder,
  task: TrainingTask<Batch>,
  { kind, config, context: { resume, log }, runtime }: Opened,
): Promise<Checkpoint | undefined> {
  const checkpoint = resume ? await resumeRun(run, kind, task.state, log) : undefined;
  if (checkpoint) {
    await task.onResume?.(checkpoint);
    return checkpoint;
  }
  await initialize(runtime, task.state, config.seed);
  await task.onStart?.();
  return undefined;
}

const positionOf = (resumed: ResumedState | undefined): BatchPosition | undefined =>
  (resumed?.dataPosition ?? undefined) as BatchPosition | undefined;

/** Workers other than worker 0 write nothing. */
const silentWriter = (path: string): RunWriter => ({
  path,
  log: () => {},
  logTime: () => {},
  image: async () => '',
});
