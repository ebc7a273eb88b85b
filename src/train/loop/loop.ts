// The training loop: the order of events and nothing else. At each step: evaluate, sample an image, save, then update.

import type { Metrics } from '../../eval/evaluator.ts';
import type { RunFolder } from '../../report/run/folder.ts';
import { InterruptedError } from '../../util/errors.ts';
import type { Logger } from '../../util/logger.ts';
import type { Progress } from '../../util/progress.ts';
import { divergence } from '../optim/divergence.ts';
import { DataWait } from './data-wait.ts';
import type { ResumedState } from './resume.ts';
import type { LoopTask } from './task.ts';

export interface LoopSchedule {
  readonly steps: number;
  readonly logEvery: number;
  readonly evaluateEvery: number;
  readonly saveEvery: number;
}

/** Where metrics and images of a run are written. */
export type RunWriter = Pick<RunFolder, 'path' | 'log' | 'logTime' | 'image'>;

/**
 * Saves a checkpoint to resume from, with the position in the data after `batch` and the last validation metrics;
 * returns its path.
 */
export type SaveStep<Batch> = (step: number, batch: Batch | undefined, metrics: Metrics) => Promise<string>;

export interface LoopOptions<Batch> {
  readonly label: string;
  readonly task: LoopTask<Batch>;
  readonly batches: AsyncIterator<Batch>;
  readonly save: SaveStep<Batch>;
  readonly schedule: LoopSchedule;
  readonly resumed: ResumedState | undefined;
  readonly run: RunWriter;
  readonly progress: Progress;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Whether to stop before the next update, given whether this process is to stop; workers stop together. */
  readonly stops?: ((isAborted: boolean) => Promise<boolean>) | undefined;
}

export interface LoopResult {
  readonly checkpoint: string;
  readonly steps: number;
  readonly seconds: number;
  /** The training loss of the first update of this session, and the last one logged; undefined without an update. */
  readonly firstLoss: number | undefined;
  readonly lastLoss: number | undefined;
  /** The last validation metrics. */
  readonly evaluation: Metrics;
  /** Share of the time of the updates that went into waiting for their data; undefined without an update. */
  readonly dataWait: number | undefined;
}

/**
 * Evaluation and images of a step come before its checkpoint, so that a resumed run never owes work of an earlier step.
 * @throws InterruptedError after saving, when the signal is aborted
 * @throws DataError when the loss or a gradient is no longer finite; the last checkpoint stays
 */
export async function trainLoop<Batch>(options: LoopOptions<Batch>): Promise<LoopResult> {
  try {
    return await loop(options);
  } finally {
    // Batches in flight are awaited: nothing is read, and no file is open, once the run has ended.
    await options.batches.return?.();
  }
}

async function loop<Batch>(options: LoopOptions<Batch>): Promise<LoopResult> {
  const { label, task, batches, save, schedule, resumed, run, progress, log, signal, stops } = options;
  const { steps, logEvery, evaluateEvery, saveEvery } = schedule;
  const start = resumed?.step ?? 0;
  const began = performance.now();
  let firstLoss: number | undefined;
  let lastLoss: number | undefined;
  let batch: Batch | undefined;
  let evaluation = resumed?.metrics ?? {};
  const wait = new DataWait();
  let checkpoint = resumed?.checkpoint;
  progress.start(label, steps, start);
  for (let step = start; ; step++) {
    const isLast = step >= steps;
    const isSaved = step === resumed?.step;
    if (!isSaved && (isLast || step % evaluateEvery === 0)) evaluation = await evaluate(options, step);
    const isSaveDue = step > 0 && step % saveEvery === 0;
    const isStopping = stops ? await stops(signal.aborted) : signal.aborted;
    if (!isSaved && (isLast || isSaveDue || isStopping)) checkpoint = await save(step, batch, evaluation);
    if (isLast) {
      progress.stop();
      const seconds = (performance.now() - began) / 1000;
      const dataWait = wait.total();
      log.debug({ event: 'end', step, seconds, dataWait }, 'end');
      if (dataWait !== undefined)
        progress.note(
          `${label}: waited for data ${(100 * dataWait).toPrecision(2)} % of the time of the steps`,
        );
      return {
        checkpoint: checkpoint as string,
        steps: step,
        seconds,
        firstLoss,
        lastLoss,
        evaluation,
        dataWait,
      };
    }
    if (isStopping) {
      throw new InterruptedError(`stopped at step ${step} of ${steps}`, {
        code: 'E_INTERRUPTED',
        where: checkpoint as string,
        fix: 'continue with `resume`',
      });
    }
    wait.start();
    const next = await batches.next();
    if (next.done) throw new Error('the batches ended before the run');
    batch = next.value;
    wait.received();
    const metrics = await task.update(step, batch);
    wait.updated(task.waited?.(batch));
    const loss = metrics.loss as number;
    const isLogged = (step + 1) % logEvery === 0 || step === 0;
    const hasDiverged = !Number.isFinite(loss) || !Number.isFinite(metrics.gradientNorm ?? 0);
    if (isLogged || hasDiverged) {
      run.log(step + 1, metrics);
      run.logTime(step + 1, { dataWait: wait.sinceLast() });
    }
    if (hasDiverged) {
      const what = Number.isFinite(loss) ? 'gradients are' : 'loss is';
      throw divergence(what, step + 1, run.path, await task.diagnose?.(step, batch));
    }
    firstLoss ??= loss;
    if (isLogged || step === start) lastLoss = loss;
    progress.update(step + 1, { loss: loss.toFixed(4) });
  }
}

async function evaluate<Batch>(
  { task, run, progress, log, label }: LoopOptions<Batch>,
  step: number,
): Promise<Metrics> {
  const metrics = await task.evaluate(step);
  run.log(
    step,
    Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`validation/${name}`, value])),
  );
  const image = await task.sampleImage(step);
  const shown = Object.entries(metrics).map(([name, value]) => `${name} ${value.toPrecision(4)}`);
  progress.note(`${label}: step ${step}: ${shown.join(', ')}`);
  if (image) progress.note(`${label}: step ${step}: samples in ${await run.image(step, 'samples', image)}`);
  log.debug({ event: 'validation', step, ...metrics }, 'validation');
  return metrics;
}
