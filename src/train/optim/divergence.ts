// Training that went to infinity, found before it reaches a checkpoint.

import { hasCheckpoint } from '../../checkpoint/latest.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import { DataError } from '../../util/errors.ts';

/** Where numbers stopped being finite. */
export interface Diagnosis {
  /** The first tensor of the step that was not, and the line that made it; undefined when all are. */
  readonly tensor: string | undefined;
  /** Names of the images in the batch. */
  readonly files: readonly string[];
}

/** Says that `what` of the run in the folder `run` is no longer finite after `step` updates. */
export function divergence(what: string, step: number, run: string, diagnosis?: Diagnosis): DataError {
  const first = diagnosis?.tensor === undefined ? '' : `; the first tensor that is not: ${diagnosis.tensor}`;
  const files = diagnosis ? `; the batch: ${diagnosis.files.join(', ')}` : '';
  return new DataError(`the ${what} not finite at step ${step}${first}${files}`, {
    where: run,
    fix: `${resumeAdvice(run)} with a lower train.optimizer.learningRate.peak, or set train.optimizer.clipNorm`,
  });
}

/** From where a run that diverged may go on, for messages. */
export const resumeAdvice = (run: string): string =>
  hasCheckpoint(run)
    ? 'the last checkpoint is good: resume from it'
    : 'there is no checkpoint yet: begin anew, in this folder by --resume,';

/** Whether every number is finite: in doubles, no sum of floats overflows, and one that is not finite stays in it. */
export function isFiniteTensor({ data }: HostTensor): boolean {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += Number(data[i]);
  return Number.isFinite(sum);
}
