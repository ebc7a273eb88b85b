// Values that change over a run, as functions of the step (counted from 0); computed on the host and fed to the graph.

/** end + (start − end) · (1 + cos(π · step / steps)) / 2 up to `steps`, then `end`. */
export function cosineSchedule(step: number, start: number, end: number, steps: number): number {
  const share = Math.min(1, step / steps);
  return end + (start - end) * 0.5 * (1 + Math.cos(Math.PI * share));
}

export interface LearningRateSchedule {
  readonly peak: number;
  readonly end: number;
  readonly warmup: number;
  /** Steps at the peak after the warm-up. */
  readonly hold?: number;
  /** Length of warm-up, hold and cosine together, in steps; that of the run by default. */
  readonly steps?: number | undefined;
}

/** Linear warm-up that reaches the peak at step `warmup`, `hold` steps of it, then a cosine down to the end. */
export function learningRateAt(
  step: number,
  { peak, end, warmup, hold = 0, steps }: LearningRateSchedule,
  runSteps: number,
): number {
  if (step < warmup) return (peak * (step + 1)) / warmup;
  const start = warmup + hold;
  if (step < start) return peak;
  return cosineSchedule(step - start, peak, end, Math.max(1, (steps ?? runSteps) - start));
}

/** The same warm-up to the peak times `factor`, then constant. */
export const constantAfterWarmup = (
  step: number,
  { peak, warmup }: LearningRateSchedule,
  factor: number,
): number => peak * factor * Math.min(1, (step + 1) / Math.max(1, warmup));

/** Linear from 0 to `value` over `steps`, then constant. */
export function linearRamp(step: number, value: number, steps: number): number {
  return steps === 0 ? value : value * Math.min(1, step / steps);
}
