// Scales of charts: the range of the values, linear or logarithmic, its ticks, and the thinning of many points.

export interface CurvePoint {
  readonly step: number;
  readonly value: number;
}

export interface Scale {
  readonly isLog: boolean;
  readonly low: number;
  readonly high: number;
  /** The position of a value, from 0 at `low` to 1 at `high`. */
  share(value: number): number;
}

/** Positive values that span at least this factor get a logarithmic scale. */
const MIN_LOG_SPAN = 20;
/** Share of the steps that a linear range excludes when their values make it this many times larger. */
const START_SHARE = 0.02;
const START_EXCESS = 3;

/** The scale of a chart. @param points finite */
export function scaleOf(points: readonly CurvePoint[], lastStep: number, isLinear: boolean): Scale {
  const all = rangeOf(points);
  const isLog = !isLinear && all.low > 0 && all.high / all.low >= MIN_LOG_SPAN;
  if (isLog) {
    const [low, high] = [Math.log(all.low), Math.log(all.high)];
    const share = (value: number): number => (Math.log(value) - low) / (high - low);
    return { isLog, ...all, share };
  }
  const later = rangeOf(points.filter(({ step }) => step > START_SHARE * lastStep));
  const excludesStart =
    all.high - all.low > START_EXCESS * (later.high - later.low) && later.high > later.low;
  const { low, high } = withMargin(excludesStart ? later : all);
  return { isLog, low, high, share: (value) => (value - low) / (high - low) };
}

function rangeOf(points: readonly CurvePoint[]): { low: number; high: number } {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { value } of points) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? { low, high } : { low: 0, high: 0 };
}

/** Adds a margin above and below, also around a flat line. */
function withMargin({ low, high }: { low: number; high: number }): { low: number; high: number } {
  const margin = high > low ? 0.04 * (high - low) : Math.abs(high) / 2 || 0.5;
  return { low: low - margin, high: high + margin };
}

/** About `count` round values inside the range. */
export function linearTicks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) as number;
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-12) + 1e-300; i++)
    ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

/** Powers of ten inside the range, with multiples between them when it has few. */
export function logTicks(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const factors = decades <= 1.5 ? [1, 2, 3, 5] : decades <= 3 ? [1, 3] : [1];
  const every = Math.max(1, Math.ceil(decades / 6));
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += every)
    for (const factor of factors) ticks.push(Number((factor * 10 ** power).toPrecision(12)));
  return ticks.filter((tick) => tick >= low && tick <= high);
}

/** A curve of more points is thinned to `BINS`. */
const MAX_POINTS = 240;
const BINS = 120;

/** Many points as the mean, minimum and maximum of consecutive bins; few points unchanged, as `mean` alone. */
export function thin(points: readonly CurvePoint[]): Record<'mean' | 'min' | 'max', readonly CurvePoint[]> {
  if (points.length <= MAX_POINTS) return { mean: points, min: [], max: [] };
  const bins = Array.from({ length: BINS }, (_, bin) =>
    points.slice(Math.floor((bin * points.length) / BINS), Math.floor(((bin + 1) * points.length) / BINS)),
  );
  const each = (of: (values: readonly number[]) => number): CurvePoint[] =>
    bins.map((bin) => ({
      step: bin.reduce((sum, { step }) => sum + step, 0) / bin.length,
      value: of(bin.map(({ value }) => value)),
    }));
  return {
    mean: each((values) => values.reduce((a, b) => a + b, 0) / values.length),
    min: each((values) => Math.min(...values)),
    max: each((values) => Math.max(...values)),
  };
}
