// The metrics of a run as charts: training and validation values of a metric in one chart.

import type { MetricsLine } from '../run/metrics.ts';
import type { Chart, Series } from './curves.ts';

export interface ChartGroup {
  readonly title: string;
  readonly text?: string;
  readonly charts: readonly Chart[];
}

const VALIDATION = 'validation/';

interface ChartLayout extends Pick<Chart, 'title' | 'note' | 'isLinear' | 'includes'> {
  /** Metrics without `validation/`. */
  readonly metrics: readonly string[];
}

const SHARE = { isLinear: true, includes: [0, 1] } as const;
const COUNT = { isLinear: true, includes: [0] } as const;

const LEARNING: readonly ChartLayout[] = [
  { title: 'Loss', metrics: ['loss'] },
  { title: 'Loss of the images', note: 'nats per token', metrics: ['imageLoss'] },
  { title: 'Loss of the captions', note: 'nats per token', metrics: ['textLoss'] },
  { title: 'Reconstruction', note: '−ln p(x|z) per channel of a pixel', metrics: ['reconstruction'] },
  { title: 'KL', note: 'nats per image', metrics: ['kl'] },
  { title: 'Squared error', metrics: ['mse', 'softMse'] },
  { title: 'PSNR', note: 'dB', metrics: ['psnr'] },
  { title: 'SSIM', metrics: ['ssim'] },
  { title: 'Advantage of soft codes over hard ones', note: 'dB', metrics: ['softHardGap'] },
  { title: 'Right text in the batch', note: 'share of the images', ...SHARE, metrics: ['accuracy'] },
  {
    title: 'Text found for an image',
    note: 'share among the first 1, 5, 10',
    ...SHARE,
    metrics: ['imageToText@1', 'imageToText@5', 'imageToText@10'],
  },
  {
    title: 'Image found for a text',
    note: 'share among the first 1, 5, 10',
    ...SHARE,
    metrics: ['textToImage@1', 'textToImage@5', 'textToImage@10'],
  },
  { title: 'Zero-shot accuracy', ...SHARE, metrics: ['zeroShot'] },
];

const CODEBOOK: readonly ChartLayout[] = [
  { title: 'Codes in use', ...COUNT, metrics: ['codesUsed'] },
  {
    title: 'Perplexity of the codes',
    note: 'codes in use if all were used equally',
    ...COUNT,
    metrics: ['perplexity'],
  },
];
/** Derived from the charts above. */
const DERIVED: readonly string[] = ['codebookUse', 'deadCodes'];

/** Schedules and gradients come last, together with metrics that no layout names. */
const SCHEDULES: readonly ChartLayout[] = [
  { title: 'Learning rate', isLinear: true, metrics: ['learningRate'] },
  { title: 'Norm of the gradient', note: 'before it is clipped', metrics: ['gradientNorm'] },
  { title: 'Temperature', isLinear: true, metrics: ['temperature'] },
  { title: 'Weight of the KL', isLinear: true, metrics: ['klWeight'] },
  { title: 'Scale of the logits', isLinear: true, metrics: ['logitScale'] },
  { title: 'Bias of the logits', isLinear: true, metrics: ['logitBias'] },
];

/** The charts that have values, in groups. */
export function runCharts(lines: readonly MetricsLine[]): ChartGroup[] {
  const found = seriesOf(lines);
  const known = new Set([...LEARNING, ...CODEBOOK, ...SCHEDULES].flatMap(({ metrics }) => metrics));
  const others = [...new Set([...found.keys()].map(baseOf))]
    .filter((name) => !known.has(name) && !DERIVED.includes(name))
    .map((name): ChartLayout => ({ title: name, metrics: [name] }));
  return [
    { title: 'Learning', charts: charts(LEARNING, found) },
    { title: 'Codebook', text: 'On held-out images.', charts: charts(CODEBOOK, found) },
    { title: 'Schedules and gradients', charts: charts([...SCHEDULES, ...others], found) },
  ].filter(({ charts }) => charts.length > 0);
}

const baseOf = (name: string): string => (name.startsWith(VALIDATION) ? name.slice(VALIDATION.length) : name);

function seriesOf(lines: readonly MetricsLine[]): Map<string, Series['points']> {
  const series = new Map<string, { step: number; value: number }[]>();
  for (const { step, values } of lines) {
    for (const [name, value] of Object.entries(values)) {
      const points = series.get(name) ?? [];
      points.push({ step, value });
      series.set(name, points);
    }
  }
  return series;
}

function charts(layouts: readonly ChartLayout[], found: ReadonlyMap<string, Series['points']>): Chart[] {
  return layouts.flatMap(({ metrics, ...chart }) => {
    // Validation series have the same colours in every chart.
    const series = metrics.flatMap((metric, i) => {
      const of = (where: string, name: string, isSparse: boolean): Series[] => {
        const points = found.get(where + metric);
        const label = metrics.length > 1 ? `${metric}, ${name}` : name;
        return points ? [{ name: label, colour: 2 * i + (isSparse ? 1 : 0), isSparse, points }] : [];
      };
      return [...of('', 'training', false), ...of(VALIDATION, 'held out', true)];
    });
    return series.length > 0 ? [{ ...chart, series }] : [];
  });
}

/** The last value of a metric; validation metrics begin with `validation/`. */
export function lastValue(lines: readonly MetricsLine[], name: string): number | undefined {
  for (const { values } of lines.toReversed()) if (name in values) return values[name];
  return undefined;
}
