// The metrics of a run as charts: what is measured in training beside the same on held-out data.

import type { MetricsLine } from '../run/metrics.ts';
import type { Chart, Series } from './curves.ts';

export interface ChartGroup {
  readonly title: string;
  readonly text?: string;
  readonly charts: readonly Chart[];
}

const HELD_OUT = 'validation/';

interface Plan extends Pick<Chart, 'title' | 'note' | 'isLinear' | 'includes'> {
  /** Metrics without `validation/`. */
  readonly metrics: readonly string[];
}

const SHARE = { isLinear: true, includes: [0, 1] } as const;
const COUNT = { isLinear: true, includes: [0] } as const;

const LEARNING: readonly Plan[] = [
  { title: 'Loss', metrics: ['loss'] },
  { title: 'Loss of the images', note: 'nats per token', metrics: ['imageLoss'] },
  { title: 'Loss of the captions', note: 'nats per token', metrics: ['textLoss'] },
  { title: 'Reconstruction', note: '−ln p(x|z) per channel of a pixel', metrics: ['reconstruction'] },
  { title: 'KL', note: 'nats per image', metrics: ['kl'] },
  { title: 'Squared error', metrics: ['mse', 'softMse'] },
  { title: 'PSNR', note: 'dB', metrics: ['psnr'] },
  { title: 'SSIM', metrics: ['ssim'] },
  { title: 'Soft codes better than hard ones by', note: 'dB', metrics: ['softHardGap'] },
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

const CODEBOOK: readonly Plan[] = [
  { title: 'Codes in use', ...COUNT, metrics: ['codesUsed'] },
  {
    title: 'Perplexity of the codes',
    note: 'codes in use, were all used equally',
    ...COUNT,
    metrics: ['perplexity'],
  },
];
/** Said by the charts above already. */
const DERIVED: readonly string[] = ['codebookUse', 'deadCodes'];

/** What training is steered by is drawn last; metrics that no plan names are drawn among it. */
const STEERING: readonly Plan[] = [
  { title: 'Step size', isLinear: true, metrics: ['learningRate'] },
  { title: 'Norm of the gradient', note: 'before it is clipped', metrics: ['gradientNorm'] },
  { title: 'Temperature', isLinear: true, metrics: ['temperature'] },
  { title: 'Weight of the KL', isLinear: true, metrics: ['klWeight'] },
  { title: 'Scale of the logits', isLinear: true, metrics: ['logitScale'] },
];

/** The charts that there is something to draw in. */
export function runCharts(lines: readonly MetricsLine[]): ChartGroup[] {
  const found = seriesOf(lines);
  const planned = new Set([...LEARNING, ...CODEBOOK, ...STEERING].flatMap(({ metrics }) => metrics));
  const others = [...new Set([...found.keys()].map(baseOf))]
    .filter((name) => !planned.has(name) && !DERIVED.includes(name))
    .map((name): Plan => ({ title: name, metrics: [name] }));
  return [
    { title: 'Learning', charts: charts(LEARNING, found) },
    { title: 'Codebook', text: 'On held-out images.', charts: charts(CODEBOOK, found) },
    { title: 'Schedules and gradients', charts: charts([...STEERING, ...others], found) },
  ].filter(({ charts }) => charts.length > 0);
}

const baseOf = (name: string): string => (name.startsWith(HELD_OUT) ? name.slice(HELD_OUT.length) : name);

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

function charts(plans: readonly Plan[], found: ReadonlyMap<string, Series['points']>): Chart[] {
  return plans.flatMap(({ metrics, ...chart }) => {
    // What is held out has the same colours everywhere.
    const series = metrics.flatMap((metric, i) => {
      const of = (where: string, name: string, isSparse: boolean): Series[] => {
        const points = found.get(where + metric);
        const label = metrics.length > 1 ? `${metric}, ${name}` : name;
        return points ? [{ name: label, colour: 2 * i + (isSparse ? 1 : 0), isSparse, points }] : [];
      };
      return [...of('', 'training', false), ...of(HELD_OUT, 'held out', true)];
    });
    return series.length > 0 ? [{ ...chart, series }] : [];
  });
}

/** The last value of a metric on held-out data, or in training. */
export function lastValue(lines: readonly MetricsLine[], name: string): number | undefined {
  for (const { values } of lines.toReversed()) if (name in values) return values[name];
  return undefined;
}
