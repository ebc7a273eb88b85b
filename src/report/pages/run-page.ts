// A run as one HTML page: main metrics, curves, images over time, configuration. No scripts, no external files.

import { writeFileAtomic } from '../../util/files.ts';
import { escapeMarkup } from '../images/text.ts';
import type { RunHistory } from '../run/record.ts';
import { type Chart, chartSvg, shortNumber, summarize } from './curves.ts';
import { type GalleryFigure, type GalleryTable, htmlPage, sectionHtml, tableHtml } from './gallery.ts';
import { type ChartGroup, lastValue, runCharts } from './run-charts.ts';
import { RUN_STYLE } from './run-style.ts';

const KINDS = { dvae: 'Discrete VAE', dalle: 'Joint Transformer', clip: 'CLIP' } as const;

/** The main metrics of each kind of model, with their labels. */
const MAIN_METRICS: Readonly<
  Record<RunHistory['kind'], readonly (readonly [metric: string, label: string])[]>
> = {
  dvae: [
    ['validation/psnr', 'PSNR, held out, dB'],
    ['validation/ssim', 'SSIM, held out'],
    ['validation/codebookUse', 'of the codes in use'],
  ],
  dalle: [
    ['validation/loss', 'loss, held out'],
    ['validation/imageLoss', 'of the images, nats per token'],
    ['validation/textLoss', 'of the captions, nats per token'],
  ],
  clip: [
    ['loss', 'loss, training'],
    ['validation/imageToText@1', 'texts found at once'],
    ['validation/textToImage@1', 'images found at once'],
  ],
};
/** Metrics that are shares, shown as percentages. */
const SHARES = /codebookUse|@\d+$/;

/** Writes the page, atomically. */
export async function writeRunPage(path: string, run: RunHistory): Promise<void> {
  await writeFileAtomic(path, runHtml(run));
}

/** The page's HTML; every text in it is escaped. */
export function runHtml(run: RunHistory): string {
  const groups = runCharts(run.metrics);
  const main = [
    ...(groups.length > 0 ? groups.map(chartGroup) : ['<p>Nothing has been logged yet.</p>']),
    run.samples.length > 0 ? samples(run) : '',
    run.sessions.length > 0 ? tableHtml(timings(run)) : '',
    warnings(run.warnings),
    `<section><h2>Configuration</h2><details><summary>config.yaml</summary>` +
      `<pre>${escapeMarkup(run.config)}</pre></details></section>`,
  ];
  return htmlPage({
    title: run.name,
    subtitle: `${KINDS[run.kind]}: ${progressOf(run)}`,
    figures: figures(run),
    main: main.join('\n'),
    footer: 'Made by mm report',
    style: RUN_STYLE,
  });
}

function progressOf({ metrics, steps, checkpoints }: RunHistory): string {
  const done = metrics.reduce((last, { step }) => Math.max(last, step), 0);
  const of = steps === undefined ? '' : ` of ${steps.toLocaleString('en')}`;
  const newest = checkpoints.at(-1);
  const saved = newest === undefined ? 'no checkpoint' : `newest checkpoint at step ${newest}`;
  return `${done.toLocaleString('en')}${of} steps, ${saved}`;
}

function figures({ kind, metrics }: RunHistory): GalleryFigure[] {
  return MAIN_METRICS[kind].flatMap(([metric, label]) => {
    const value = lastValue(metrics, metric);
    if (value === undefined) return [];
    const shown = SHARES.test(metric) ? `${Number((100 * value).toPrecision(3))} %` : shortNumber(value);
    return [{ value: shown, label }];
  });
}

function chartGroup({ title, text, charts }: ChartGroup): string {
  const note = text === undefined ? '' : `<p>${escapeMarkup(text)}</p>`;
  return `<section>
<h2>${escapeMarkup(title)}</h2>${note}
<div class="charts">
${charts.map(figure).join('\n')}
</div>
</section>`;
}

function figure(chart: Chart): string {
  const note = chart.note === undefined ? '' : ` <span class="unit">${escapeMarkup(chart.note)}</span>`;
  const legend = chart.series.map(
    (series) => `<li><span class="key s${series.colour}"></span>${escapeMarkup(summarize(series))}</li>`,
  );
  return `<figure class="chart"><figcaption>${escapeMarkup(chart.title)}${note}</figcaption>
${chartSvg(chart)}
<ul class="legend">${legend.join('')}</ul></figure>`;
}

function samples({ kind, samples }: RunHistory): string {
  const what = kind === 'dvae' ? 'Originals and reconstructions' : 'Images';
  const cards = samples.map(({ step, name, png }) => ({
    png,
    prompt: `step ${step.toLocaleString('en')}${name === undefined ? '' : `: ${name}`}`,
    alt: `${what} at step ${step}`,
  }));
  return `<div class="wide">${sectionHtml({ title: 'Over time', cards })}</div>`;
}

function timings({ sessions }: RunHistory): GalleryTable {
  return {
    title: 'Time',
    columns: ['session', 'began', 'steps', 'minutes', 'seconds a step, validation included'],
    rows: sessions.map(({ from, to, began, seconds }, i) => [
      i + 1,
      began.toISOString().slice(0, 16).replace('T', ' '),
      `${from} to ${to}`,
      seconds / 60,
      to > from ? seconds / (to - from) : undefined,
    ]),
  };
}

/** The last warnings that are shown; the log has all. */
const MAX_WARNINGS = 20;

function warnings(all: readonly string[]): string {
  if (all.length === 0) return '';
  const items = all.slice(-MAX_WARNINGS).map((text) => `<li dir="auto">${escapeMarkup(text)}</li>`);
  return `<section><h2>Warnings <span class="count">${all.length}</span></h2><ul class="warnings">${items.join('')}</ul></section>`;
}
