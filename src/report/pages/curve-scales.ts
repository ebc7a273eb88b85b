// Where values lie on a chart: the range, linear or logarithmic, its ticks, and fewer points than were logged.

export interface Point {
  readonly step: number;
  readonly value: number;
}

export interface Scale {
  readonly isLog: boolean;
  readonly low: number;
  readonly high: number;
  /** From 0 at `low` to 1 at `high`. */
  share(value: number): number;
}

/** Positive values that span more than this factor are drawn logarithmically. */
const LOG_FROM = 20;
/** The first steps of a run, which often dwarf all that follows; left out of a linear range where they do. */
const START = 0.02;
const DWARFED = 3;

/** The range of a chart. `points` are finite. */
export function scaleOf(points: readonly Point[], lastStep: number, isLinear: boolean): Scale {
  const all = rangeOf(points);
  const isLog = !isLinear && all.low > 0 && all.high / all.low >= LOG_FROM;
  if (isLog) {
    const [low, high] = [Math.log(all.low), Math.log(all.high)];
    const share = (value: number): number => (Math.log(value) - low) / (high - low);
    return { isLog, ...all, share };
  }
  const later = rangeOf(points.filter(({ step }) => step > START * lastStep));
  const isDwarfed = all.high - all.low > DWARFED * (later.high - later.low) && later.high > later.low;
  const { low, high } = widen(isDwarfed ? later : all);
  return { isLog, low, high, share: (value) => (value - low) / (high - low) };
}

function rangeOf(points: readonly Point[]): { low: number; high: number } {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { value } of points) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? { low, high } : { low: 0, high: 0 };
}

/** A little room above and below; a flat line gets some of its own. */
function widen({ low, high }: { low: number; high: number }): { low: number; high: number } {
  const room = high > low ? 0.04 * (high - low) : Math.abs(high) / 2 || 0.5;
  return { low: low - room, high: high + room };
}

/** Round values inside the range, about `count` of them. */
export function linearTicks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) as number;
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-12) + 1e-300; i++)
    ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

/** Powers of ten, with 2 and 5 between them where there is room. */
export function logTicks(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const factors = decades <= 1.5 ? [1, 2, 3, 5] : decades <= 3 ? [1, 3] : [1];
  const every = Math.max(1, Math.ceil(decades / 6));
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += every)
    for (const factor of factors) ticks.push(Number((factor * 10 ** power).toPrecision(12)));
  return ticks.filter((tick) => tick >= low && tick <= high);
}

/** More points than this are put together in `BINS`. */
const MOST = 240;
const BINS = 120;

/** The course of many points: their mean in each stretch of steps, with the least and the greatest value. */
export function thin(points: readonly Point[]): Record<'middle' | 'least' | 'most', readonly Point[]> {
  if (points.length <= MOST) return { middle: points, least: [], most: [] };
  const bins = Array.from({ length: BINS }, (_, bin) =>
    points.slice(Math.floor((bin * points.length) / BINS), Math.floor(((bin + 1) * points.length) / BINS)),
  );
  const each = (of: (values: readonly number[]) => number): Point[] =>
    bins.map((bin) => ({
      step: bin.reduce((sum, { step }) => sum + step, 0) / bin.length,
      value: of(bin.map(({ value }) => value)),
    }));
  return {
    middle: each((values) => values.reduce((a, b) => a + b, 0) / values.length),
    least: each((values) => Math.min(...values)),
    most: each((values) => Math.max(...values)),
  };
}
