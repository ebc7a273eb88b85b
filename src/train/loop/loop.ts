// The training loop: the order of events and nothing else. At a step: evaluate, image, save, then update.

import type { RunFolder } from '../../report/run/folder.ts';
import { InterruptedError } from '../../util/errors.ts';
import type { Logger } from '../../util/logger.ts';
import type { Progress } from '../../util/progress.ts';
import { type Diagnosis, divergence } from '../optim/divergence.ts';

export type Metrics = Readonly<Record<string, number>>;

/** What a model gives the loop. Steps count the updates made before. */
export interface TrainingTask<Batch> {
  /** One update; its metrics hold the `loss` that is minimised. */
  update(step: number, batch: Batch): Promise<Metrics>;
  /** Figures on held-out data. */
  evaluate(step: number): Promise<Metrics>;
  /** An image of what the model can do now, as PNG, if there is one to make. */
  sampleImage(step: number): Promise<Uint8Array | undefined>;
  /**
   * Writes a checkpoint to go on from, with the position in the data after `batch` and the last figures on held-out
   * data; returns its path.
   */
  save(step: number, batch: Batch | undefined, evaluation: Metrics): Promise<string>;
  /** What was not finite in the update that has just been tried, and changed nothing. */
  diagnose?(step: number, batch: Batch): Promise<Diagnosis>;
  /** Goes on from figures on held-out data that were saved, or made elsewhere. */
  resume?(evaluation: Metrics): void;
}

export interface LoopSchedule {
  readonly steps: number;
  readonly logEvery: number;
  readonly evaluateEvery: number;
  readonly saveEvery: number;
}

/** The checkpoint that a run goes on from. */
export interface ResumedState {
  readonly checkpoint: string;
  /** Updates made in earlier sessions of the run. */
  readonly step: number;
  /** Where the data goes on. */
  readonly dataPosition: unknown;
  /** The last figures on held-out data. */
  readonly evaluation: Metrics;
}

/** Where the run is written down. */
export type RunWriter = Pick<RunFolder, 'path' | 'log' | 'image'>;

export interface LoopOptions<Batch> {
  readonly label: string;
  readonly task: TrainingTask<Batch>;
  readonly batches: AsyncIterator<Batch>;
  readonly schedule: LoopSchedule;
  readonly resumed: ResumedState | undefined;
  readonly run: RunWriter;
  readonly progress: Progress;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Whether to stop before the next update, given whether the signal asks for it; several workers stop together. */
  readonly stops?: ((isAsked: boolean) => Promise<boolean>) | undefined;
}

export interface LoopResult {
  readonly checkpoint: string;
  readonly steps: number;
  readonly seconds: number;
  /** The training loss of the first update of this session, and the last one logged; undefined without an update. */
  readonly firstLoss: number | undefined;
  readonly lastLoss: number | undefined;
  readonly evaluation: Metrics;
}

/**
 * What is due at a step comes before a checkpoint of it, so that nothing is left to do when a run goes on from one.
 * @throws InterruptedError after saving, when the signal asks to stop
 * @throws DataError when the loss or a gradient is no longer finite; the last checkpoint stays
 */
export async function trainLoop<Batch>(options: LoopOptions<Batch>): Promise<LoopResult> {
  const { label, task, batches, schedule, resumed, run, progress, signal, stops } = options;
  const { steps, logEvery, evaluateEvery, saveEvery } = schedule;
  const start = resumed?.step ?? 0;
  const began = performance.now();
  const losses: number[] = [];
  let batch: Batch | undefined;
  let evaluation = resumed?.evaluation ?? {};
  let checkpoint = resumed?.checkpoint;
  progress.start(label, steps, start);
  for (let step = start; ; step++) {
    const last = step >= steps;
    const isSaved = step === resumed?.step;
    if (!isSaved && (last || step % evaluateEvery === 0)) evaluation = await evaluate(options, step);
    const resting = step > 0 && step % saveEvery === 0;
    const isStopping = stops ? await stops(signal.aborted) : signal.aborted;
    if (!isSaved && (last || resting || isStopping)) checkpoint = await task.save(step, batch, evaluation);
    if (last) {
      progress.stop();
      const seconds = (performance.now() - began) / 1000;
      return {
        checkpoint: checkpoint as string,
        steps: step,
        seconds,
        firstLoss: losses[0],
        lastLoss: losses.at(-1),
        evaluation,
      };
    }
    if (isStopping) {
      throw new InterruptedError(`stopped at step ${step} of ${steps}`, {
        where: checkpoint as string,
        fix: 'go on with --resume',
      });
    }
    const next = await batches.next();
    if (next.done) throw new Error('the batches ended before the run');
    batch = next.value;
    const metrics = await task.update(step, batch);
    const loss = metrics.loss as number;
    const isLogged = (step + 1) % logEvery === 0 || step === 0;
    const hasDiverged = !Number.isFinite(loss) || !Number.isFinite(metrics.gradientNorm ?? 0);
    if (isLogged || hasDiverged) run.log(step + 1, metrics);
    if (hasDiverged) {
      const what = Number.isFinite(loss) ? 'gradients are' : 'loss is';
      throw divergence(what, step + 1, run.path, await task.diagnose?.(step, batch));
    }
    if (isLogged || step === start) losses.push(loss);
    progress.update(step + 1, { loss: loss.toFixed(4) });
  }
}

async function evaluate<Batch>(
  { task, run, progress, log, label }: LoopOptions<Batch>,
  step: number,
): Promise<Metrics> {
  const figures = await task.evaluate(step);
  run.log(
    step,
    Object.fromEntries(Object.entries(figures).map(([name, value]) => [`validation/${name}`, value])),
  );
  const image = await task.sampleImage(step);
  if (image) await run.image(step, 'samples', image);
  const shown = Object.entries(figures).map(([name, value]) => `${name} ${value.toPrecision(4)}`);
  progress.note(`${label}: step ${step}: ${shown.join(', ')}`);
  log.debug({ step, ...figures }, 'validation');
  return figures;
}
