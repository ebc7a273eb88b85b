// A model's training state, as variables and as a checkpoint: weights, their average, the optimizer's moments.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { checkpointPath, latestCheckpoint, pruneCheckpoints, type Warn } from '../../checkpoint/latest.ts';
import { matchTensors } from '../../checkpoint/match.ts';
import { type Checkpoint, readCheckpoint } from '../../checkpoint/read.ts';
import type { ModelKind } from '../../checkpoint/state.ts';
import { type Tensors, writeCheckpoint } from '../../checkpoint/write.ts';
import { loadConfig } from '../../config/load.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { SpecTree } from '../../nn/parameters.ts';
import type { Weights } from '../../nn/weights.ts';
import type { RunFolder } from '../../report/run/folder.ts';
import { UsageError } from '../../util/errors.ts';
import type { Logger } from '../../util/logger.ts';
import type { Adam, Ema } from '../optim/adam.ts';
import { divergence, isFiniteTensor } from '../optim/divergence.ts';
import type { Metrics, ResumedState } from './loop.ts';

export interface ModelState<S extends SpecTree = SpecTree> {
  readonly weights: Weights<S>;
  readonly optimizer: Adam;
  readonly ema: Ema<S> | undefined;
  /** Scales of float16's gradients; their names begin with `lossScale.`. */
  readonly lossScale?: { readonly state: Weights } | undefined;
  /** What compression has kept back of this worker's gradients. */
  readonly residuals?: Weights | undefined;
  /** What else a run goes on from, in the optimizer's file, each under a name of its own: `NAME.…`. */
  readonly extra?: readonly Weights[];
}

/** All that stands beside the moments in the optimizer's file. */
const besides = ({ lossScale, extra = [] }: ModelState): readonly Weights[] =>
  lossScale ? [lossScale.state, ...extra] : extra;

/** What updates depend on, in an order that is the same for all workers of a run: all but the average. */
export const sharedState = (state: ModelState): readonly Weights[] => [
  state.weights,
  state.optimizer.moments,
  ...besides(state),
];

/** Weights drawn from their initializers, moments at zero, the average at the weights. */
export async function initialize(runtime: Runtime, state: ModelState, seed: number): Promise<void> {
  await state.weights.initialize(seed);
  await state.optimizer.moments.initialize(seed);
  for (const weights of besides(state)) await weights.initialize(seed);
  await startEma(runtime, state);
}

/** Sets the average to the weights as they are. */
export async function startEma(runtime: Runtime, { ema }: ModelState): Promise<void> {
  if (!ema) return;
  const start = runtime.compile('start the average', () => {
    ema.start();
    return {};
  });
  await start({});
}

export interface Saved {
  readonly kind: ModelKind;
  readonly step: number;
  readonly config: { readonly seed: number; readonly train: { readonly keep: number } };
  readonly state: ModelState;
  /** Where the data goes on. */
  readonly dataPosition: unknown;
  readonly metrics: Metrics;
  readonly tokenizer?: { toJSON(): object };
  readonly dvae?: Checkpoint;
  /** What compression has kept back of the gradients of all workers. */
  readonly compression?: Tensors | undefined;
}

/**
 * Writes the checkpoint of a step into the run and removes old ones; returns its path.
 * @throws DataError when a weight is not finite, or the disk is full or read-only; the checkpoints stay as they are
 */
export async function saveState(run: string, saved: Saved): Promise<string> {
  const { kind, step, config, state, dataPosition: position, metrics, tokenizer, dvae, compression } = saved;
  const path = checkpointPath(run, step);
  const model = await state.weights.save();
  if (![...model.values()].every(isFiniteTensor)) throw divergence('weights are', step, run);
  await writeCheckpoint(path, {
    kind,
    step,
    seed: config.seed,
    dataPosition: position ?? null,
    metrics,
    config,
    model,
    ema: await state.ema?.weights.save(),
    optimizer: await saveOptimizer(state),
    compression,
    tokenizer,
    dvae,
  });
  await pruneCheckpoints(run, config.train.keep, step);
  return path;
}

/**
 * Goes on from the newest whole checkpoint of the run, and forgets what was logged after it. A run that was stopped
 * before its first has none: it begins anew.
 */
export async function resumeRun(
  run: RunFolder,
  kind: ModelKind,
  state: ModelState,
  log: Logger,
): Promise<ResumedState | undefined> {
  const warn: Warn = (message) => log.warn(message);
  const path = await latestCheckpoint(run.path, warn);
  if (path === undefined) {
    await run.truncateAfter(-1);
    log.info('no checkpoint to go on from; beginning anew');
    return undefined;
  }
  const checkpoint = await readCheckpoint(path, { kind, optimizer: true, warn });
  await load(state.weights, checkpoint, 'model');
  await loadOptimizer(state, checkpoint);
  if (state.ema) await load(state.ema.weights, checkpoint, 'ema');
  const { step, dataPosition: position, metrics } = checkpoint.state;
  await run.truncateAfter(step);
  log.info(`going on from step ${step}`);
  const figures = Object.entries(metrics).map(([name, value]) => [name, value ?? Number.NaN]);
  return {
    checkpoint: path,
    step,
    dataPosition: position,
    evaluation: Object.fromEntries(figures) as Metrics,
  };
}

async function load(
  weights: Weights,
  checkpoint: Checkpoint,
  part: 'model' | 'ema' | 'optimizer',
): Promise<void> {
  await weights.load(await checkpoint.read(part, weights.expected()));
}

async function saveOptimizer(state: ModelState): Promise<[string, HostTensor][]> {
  const parts = [state.optimizer.moments, ...besides(state)];
  return (await Promise.all(parts.map((weights) => weights.save()))).flatMap((values) => [...values]);
}

/** The moments and what stands beside them; that starts anew where the run did not have it before. */
async function loadOptimizer(state: ModelState, checkpoint: Checkpoint): Promise<void> {
  const all = await checkpoint.read('optimizer');
  const under = (isWanted: (root: string) => boolean) =>
    new Map([...all].filter(([name]) => isWanted(name.split('.')[0] as string)));
  const moments = under((root) => root === 'm' || root === 'v');
  matchTensors(moments, state.optimizer.moments.expected(), checkpoint.path);
  await state.optimizer.moments.load(moments);
  for (const weights of besides(state)) {
    const expected = weights.expected();
    const roots = new Set(expected.map(([name]) => name.split('.')[0]));
    const values = under((root) => roots.has(root));
    if (values.size === 0) {
      await weights.initialize(checkpoint.state.seed);
      continue;
    }
    matchTensors(values, expected, checkpoint.path);
    await weights.load(values);
  }
}

/**
 * What of a configuration may not change when the run in the folder `run` is resumed.
 * @throws UsageError when it has, or there is no run
 */
export function assertSameModel<S extends z.ZodType<{ model: unknown; seed: number }>>(
  schema: S,
  run: string,
  config: z.output<S>,
): void {
  const file = join(run, 'config.yaml');
  if (!existsSync(file)) {
    throw new UsageError('there is no run to resume', {
      where: run,
      fix: 'check the folder, or leave out --resume to begin a new run',
    });
  }
  const before = configOf(schema, file);
  const now = config as { model: unknown; seed: number };
  for (const key of ['model', 'seed'] as const) {
    if (JSON.stringify(before[key]) !== JSON.stringify(now[key])) {
      throw new UsageError(`${key} differs from the run that is resumed`, {
        where: file,
        fix: `use the run's own ${key}, or begin a new run in another folder`,
      });
    }
  }
}

/** Another model's configuration would be a list of unknown keys. */
function configOf<S extends z.ZodType<{ model: unknown; seed: number }>>(
  schema: S,
  file: string,
): { model: unknown; seed: number } {
  try {
    return loadConfig(schema, { file });
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    throw new UsageError(`the run in the folder is not one of ${schema.description ?? 'this command'}`, {
      where: file,
      fix: 'name the folder of such a run; where it is one, take back what was changed in its config.yaml',
      cause,
    });
  }
}
