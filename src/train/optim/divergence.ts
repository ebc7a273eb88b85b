// Training that diverged, found before it reaches a checkpoint.

import { RunCheckpoints } from '../../checkpoint/run-checkpoints.ts';
import { DataError } from '../../util/errors.ts';

/** Where numbers stopped being finite. */
export interface Diagnosis {
  /** The first tensor of the step that is not finite, and the line that made it; undefined when all are finite. */
  readonly tensor: string | undefined;
  /** Names of the images in the batch. */
  readonly files: readonly string[];
}

/**
 * The error of a run that diverged.
 * @param what the numbers that are not finite, with their verb: `loss is`
 * @param step updates made
 * @param run the run folder
 */
export function divergence(what: string, step: number, run: string, diagnosis?: Diagnosis): DataError {
  const first = diagnosis?.tensor === undefined ? '' : `; the first tensor that is not: ${diagnosis.tensor}`;
  const files = diagnosis ? `; the batch: ${diagnosis.files.join(', ')}` : '';
  return new DataError(`the ${what} not finite at step ${step}${first}${files}`, {
    code: 'E_DIVERGED',
    where: run,
    fix: `${resumeAdvice(run)} with a lower train.optimizer.learningRate.peak, or set train.optimizer.clipNorm`,
  });
}

/** How to continue a run that diverged, for the fix of an error. */
export const resumeAdvice = (run: string): string =>
  new RunCheckpoints(run).hasAny()
    ? 'the last checkpoint is good: resume from it'
    : 'there is no checkpoint yet: start again, in this folder with `resume`,';
