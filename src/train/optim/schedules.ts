// Values that change over a run, as functions of the step (counted from 0). Evaluated on the host and fed.

/** From `start` to `end` along half a cosine over `steps`, then constant. */
export function cosine(step: number, start: number, end: number, steps: number): number {
  const share = Math.min(1, step / steps);
  return end + (start - end) * 0.5 * (1 + Math.cos(Math.PI * share));
}

export interface LearningRate {
  readonly peak: number;
  readonly end: number;
  readonly warmup: number;
  /** Length of warm-up and cosine together; the run's by default. */
  readonly steps?: number | undefined;
}

/** Linear warm-up that reaches the peak at step `warmup`, then a cosine down to the end. */
export function learningRateAt(
  step: number,
  { peak, end, warmup, steps }: LearningRate,
  runSteps: number,
): number {
  if (step < warmup) return (peak * (step + 1)) / warmup;
  const length = Math.max(1, (steps ?? runSteps) - warmup);
  return cosine(step - warmup, peak, end, length);
}

/** The same warm-up, then the peak times `factor`. */
export const warmedUp = (step: number, { peak, warmup }: LearningRate, factor: number): number =>
  peak * factor * Math.min(1, (step + 1) / Math.max(1, warmup));

/** From 0 up to `value` along a line over `steps`, then constant. */
export function ramp(step: number, value: number, steps: number): number {
  return steps === 0 ? value : value * Math.min(1, step / steps);
}
