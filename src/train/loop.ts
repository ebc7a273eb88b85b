// The training loop: the order of events and nothing else. At a step: evaluate, picture, save, then update.

import type { RunFolder } from '../report/run.ts';
import { DataError, InterruptedError } from '../util/errors.ts';
import type { Logger } from '../util/logger.ts';
import type { Progress } from '../util/progress.ts';

export type Metrics = Readonly<Record<string, number>>;

/** What a model gives the loop. Steps count the updates made before. */
export interface Trainee<Batch> {
  /** One update; its metrics hold the `loss` that is minimised. */
  update(step: number, batch: Batch): Promise<Metrics>;
  /** Figures on held-out data. */
  evaluate(step: number): Promise<Metrics>;
  /** A picture of what the model can do now, as PNG, if there is one to make. */
  picture(step: number): Promise<Uint8Array | undefined>;
  /** Writes a checkpoint to go on from, with the position in the data after `batch`; returns its path. */
  save(step: number, batch: Batch | undefined): Promise<string>;
}

export interface Rhythm {
  readonly steps: number;
  readonly logEvery: number;
  readonly evaluateEvery: number;
  readonly saveEvery: number;
}

export interface LoopOptions<Batch> {
  readonly label: string;
  readonly trainee: Trainee<Batch>;
  readonly batches: AsyncIterator<Batch>;
  readonly rhythm: Rhythm;
  /** Updates made in earlier sessions of the run. */
  readonly start: number;
  readonly run: RunFolder;
  readonly progress: Progress;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface LoopResult {
  readonly checkpoint: string;
  readonly steps: number;
  readonly seconds: number;
  /** The first and the last logged training loss; undefined when no update was made. */
  readonly firstLoss: number | undefined;
  readonly lastLoss: number | undefined;
  readonly evaluation: Metrics;
}

/**
 * @throws InterruptedError after saving, when the signal asks to stop
 * @throws DataError when the loss is no longer finite; the last checkpoint stays
 */
export async function trainLoop<Batch>(options: LoopOptions<Batch>): Promise<LoopResult> {
  const { label, trainee, batches, rhythm, start, run, progress, signal } = options;
  const { steps, logEvery, evaluateEvery, saveEvery } = rhythm;
  const began = performance.now();
  const losses: number[] = [];
  let batch: Batch | undefined;
  let evaluation: Metrics = {};
  progress.start(label, steps, start);
  for (let step = start; ; step++) {
    const last = step === steps;
    const due = step % evaluateEvery === 0 && (step > start || step === 0);
    if (last || (due && !signal.aborted)) {
      evaluation = await evaluate(options, step);
    }
    const resting = step > start && step % saveEvery === 0;
    const checkpoint = last || resting || signal.aborted ? await trainee.save(step, batch) : undefined;
    if (last) {
      progress.stop();
      const seconds = (performance.now() - began) / 1000;
      return {
        checkpoint: checkpoint as string,
        steps,
        seconds,
        firstLoss: losses[0],
        lastLoss: losses.at(-1),
        evaluation,
      };
    }
    if (signal.aborted) {
      throw new InterruptedError(`stopped at step ${step} of ${steps}`, {
        where: checkpoint as string,
        fix: 'go on with --resume',
      });
    }
    const next = await batches.next();
    if (next.done) throw new Error('the batches ended before the run');
    batch = next.value;
    const metrics = await trainee.update(step, batch);
    const loss = metrics.loss as number;
    if (!Number.isFinite(loss)) diverged(run, step, metrics);
    if ((step + 1) % logEvery === 0 || step === start) {
      losses.push(loss);
      run.log(step + 1, metrics);
    }
    progress.update(step + 1, { loss: loss.toFixed(4) });
  }
}

async function evaluate<Batch>(
  { trainee, run, progress, log, label }: LoopOptions<Batch>,
  step: number,
): Promise<Metrics> {
  const figures = await trainee.evaluate(step);
  run.log(
    step,
    Object.fromEntries(Object.entries(figures).map(([name, value]) => [`validation/${name}`, value])),
  );
  const picture = await trainee.picture(step);
  if (picture) await run.image(step, 'samples', picture);
  const shown = Object.entries(figures).map(([name, value]) => `${name} ${value.toPrecision(4)}`);
  progress.note(`${label}: step ${step}: ${shown.join(', ')}`);
  log.debug({ step, ...figures }, 'validation');
  return figures;
}

function diverged(run: RunFolder, step: number, metrics: Metrics): never {
  run.log(step + 1, metrics);
  throw new DataError(`the loss is not finite at step ${step + 1}`, {
    where: run.path,
    fix: 'the last checkpoint is good: resume from it with a lower train.optimizer.learningRate.peak, or set train.optimizer.clipNorm',
  });
}
