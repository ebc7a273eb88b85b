// Charts as SVG: a few series over the steps of a run. Colours are classes of the page's style sheet, which has light
// and dark ones.

import { escapeMarkup } from '../images/text.ts';
import { type CurvePoint, linearTicks, logTicks, scaleOf, thin } from './curve-scales.ts';

export interface Series {
  readonly name: string;
  /** Number of the colour's class, `s0` to `s5`. */
  readonly colour: number;
  /** Whether there are values at few steps only: its points are marked. */
  readonly isSparse: boolean;
  /** In the order of steps; values that are not finite are marked. */
  readonly points: readonly CurvePoint[];
}

export interface Chart {
  readonly title: string;
  /** The unit, or an explanation of the values. */
  readonly note?: string;
  readonly series: readonly Series[];
  /** Whether the scale is linear for any values. */
  readonly isLinear?: boolean;
  /** Values that are always in the range, such as 0 and 1 of a share. */
  readonly includes?: readonly number[];
}

const WIDTH = 560;
const HEIGHT = 236;
const PLOT = { left: 66, right: 542, top: 18, bottom: 204 } as const;

/** The chart as an SVG element. */
export function chartSvg({ title, series, isLinear = false, includes = [] }: Chart): string {
  const all = series.flatMap(({ points }) => points);
  const finite = all.filter(({ value }) => Number.isFinite(value));
  const lastStep = all.reduce((last, { step }) => Math.max(last, step), 1);
  const bounds = includes.map((value) => ({ step: lastStep, value }));
  const scale = scaleOf([...finite, ...bounds], lastStep, isLinear);
  const x = (step: number): number => PLOT.left + (step / lastStep) * (PLOT.right - PLOT.left);
  const y = (value: number): number => PLOT.bottom - scale.share(value) * (PLOT.bottom - PLOT.top);
  const ticks = scale.isLog ? logTicks(scale.low, scale.high) : linearTicks(scale.low, scale.high, 5);
  const grid = ticks.map(
    (tick) =>
      `<line class="grid" x1="${PLOT.left}" x2="${PLOT.right}" y1="${at(y(tick))}" y2="${at(y(tick))}"/>` +
      `<text class="tick" x="${PLOT.left - 8}" y="${at(y(tick) + 4)}" text-anchor="end">${shortNumber(tick)}</text>`,
  );
  const whole = linearTicks(0, lastStep, 6).filter((tick) => Number.isInteger(tick));
  const steps = whole.map(
    (tick) =>
      `<text class="tick" x="${at(x(tick))}" y="${PLOT.bottom + 19}" text-anchor="middle">${shortNumber(tick)}</text>`,
  );
  const clip = `clip-${title.replaceAll(/\W+/g, '-')}`;
  const label = `${title} over ${lastStep} steps: ${series.map(summarize).join('; ')}`;
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeMarkup(label)}">
<clipPath id="${clip}"><rect x="${PLOT.left - 4}" y="${PLOT.top - 4}" width="${PLOT.right - PLOT.left + 8}" height="${PLOT.bottom - PLOT.top + 8}"/></clipPath>
${grid.join('')}${steps.join('')}
<line class="axis" x1="${PLOT.left}" x2="${PLOT.right}" y1="${PLOT.bottom}" y2="${PLOT.bottom}"/>
<g clip-path="url(#${clip})">${series.map((one) => seriesSvg(one, x, y)).join('')}</g>
</svg>`;
}

/** Name, first and last value of a series, as text. */
export function summarize({ name, points }: Series): string {
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return `${name} –`;
  return points.length === 1
    ? `${name} ${shortNumber(last.value)}`
    : `${name} ${shortNumber(first.value)} → ${shortNumber(last.value)}`;
}

function seriesSvg(
  { points, isSparse, name, colour }: Series,
  x: (step: number) => number,
  y: (value: number) => number,
): string {
  const place = ({ step, value }: CurvePoint): string => `${at(x(step))} ${at(y(value))}`;
  const runs = finiteRuns(points);
  const shapes = runs.map((run) => {
    const { mean, min, max } = thin(run);
    const band = min.length > 0 && `M${[...max, ...min.toReversed()].map(place).join('L')}Z`;
    return (
      (band ? `<path class="band s${colour}" d="${band}"/>` : '') +
      `<path class="line s${colour}${isSparse ? ' sparse' : ''}" d="M${mean.map(place).join('L')}"/>`
    );
  });
  // A line through one point is not seen.
  const dots = runs
    .filter(({ length }) => isSparse || length === 1)
    .flat()
    .map(
      (point) =>
        `<circle class="dot s${colour}" cx="${at(x(point.step))}" cy="${at(y(point.value))}" r="3.2">` +
        `<title>${escapeMarkup(`${name}, step ${point.step}: ${shortNumber(point.value)}`)}</title></circle>`,
    );
  const broken = points
    .filter(({ value }) => !Number.isFinite(value))
    .map(
      ({ step, value }) =>
        `<path class="broken" d="M${at(x(step))} ${PLOT.top}V${PLOT.bottom}"><title>${escapeMarkup(`${name}, step ${step}: ${value}`)}</title></path>`,
    );
  return [...shapes, ...dots, ...broken].join('');
}

/** Runs of consecutive finite values. */
function finiteRuns(points: readonly CurvePoint[]): CurvePoint[][] {
  const runs: CurvePoint[][] = [[]];
  for (const point of points) {
    if (Number.isFinite(point.value)) runs.at(-1)?.push(point);
    else runs.push([]);
  }
  return runs.filter((run) => run.length > 0);
}

const at = (pixels: number): string => String(Number(pixels.toFixed(1)));

/** A number in at most four digits: 12k, 0.0034, 3.2e-7. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  if (size !== 0 && size < 1e-3) return value.toExponential(1).replace('.0e', 'e');
  return String(Number(value.toPrecision(4)));
}
