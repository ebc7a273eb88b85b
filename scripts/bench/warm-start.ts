// Starts of a dVAE's codebook compared at an equal number of updates, against the time they took: error from hard codes
// and use of the codebook on held-out images, as a table and as curves.
//
//   node --import tsx scripts/bench/warm-start.ts --data IMAGES [--config configs/dvae/small.yaml] [--steps 2000]
//       [--out starts.png] [--set path.to.key=value] [--json]
//
// `warm start` is the configuration as it is, its autoencoder updates counted; the others start from initial weights
// for as many updates: with the same settings, with dead codes revived, and with the published temperature (1 → 1/16)
// and KL weight (6.6 after a ramp over the first 1/30 of the temperature's schedule, as published).

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type DvaeConfig, dvaeSchema } from '../../src/config/dvae.ts';
import { loadConfig } from '../../src/config/load.ts';
import { readMetrics } from '../../src/report/run/metrics.ts';
import { trainDvae } from '../../src/train/dvae/train.ts';
import { UsageError } from '../../src/util/errors.ts';
import { writeFileAtomic } from '../../src/util/files.ts';
import { createLogger } from '../../src/util/logger.ts';
import { SILENT } from '../../src/util/progress.ts';
import { type Curve, curvesPng } from './curves.ts';
import { count, runScript } from './script.ts';

/** Validations in a run, the first before any update of the dVAE. */
const VALIDATIONS = 12;

interface Point {
  readonly seconds: number;
  readonly mse: number;
  readonly use: number;
  readonly perplexity: number;
}

function contestants(config: DvaeConfig, steps: number): Record<string, DvaeConfig> {
  const { warmStart, ...train } = config.train;
  if (!warmStart) {
    throw new UsageError('the configuration has no warm start to compare', {
      code: 'E_ARGUMENT',
      fix: 'use one with train.warmStart, such as configs/dvae/small.yaml',
    });
  }
  const warm = Math.min(warmStart.steps, Math.floor(steps / 2));
  const of = (count: number, changes: Partial<DvaeConfig['train']>): DvaeConfig => ({
    ...config,
    train: {
      ...train,
      steps: count,
      evaluateEvery: Math.max(1, Math.floor(count / VALIDATIONS)),
      saveEvery: count,
      ...changes,
    },
  });
  const window = Math.max(1, Math.floor(steps / 20));
  return {
    'warm start': of(steps - warm, { warmStart: { ...warmStart, steps: warm } }),
    'drawn weights, the same settings': of(steps, {}),
    'drawn weights, dead codes revived': of(steps, {
      codebook: { ...train.codebook, revive: { every: window } },
    }),
    'as published': of(steps, {
      temperature: { start: 1, end: 1 / 16 },
      kl: { weight: 6.6, steps: Math.max(1, Math.round(steps / 30)) },
    }),
  };
}

/** Trains and returns what each validation found, by the time since the run began. */
async function train(config: DvaeConfig): Promise<Point[]> {
  const path = await mkdtemp(join(tmpdir(), 'mm-starts-'));
  try {
    const began = performance.now();
    const seconds: number[] = [];
    await trainDvae(config, {
      path: join(path, 'run'),
      resume: false,
      log: createLogger('silent'),
      progress: {
        start: SILENT.start.bind(SILENT),
        update: SILENT.update.bind(SILENT),
        stop: SILENT.stop.bind(SILENT),
        // Each validation ends in a note.
        note: () => void seconds.push((performance.now() - began) / 1000),
      },
      signal: new AbortController().signal,
    });
    const lines = await readMetrics(join(path, 'run', 'metrics.jsonl'));
    const validations = lines.filter(({ values }) => 'validation/mse' in values);
    return validations.map(({ values }, i) => ({
      seconds: seconds[i] as number,
      mse: values['validation/mse'] as number,
      use: values['validation/codebookUse'] as number,
      perplexity: values['validation/perplexity'] as number,
    }));
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      config: { type: 'string', default: 'configs/dvae/small.yaml' },
      data: { type: 'string' },
      steps: { type: 'string', default: '2000' },
      out: { type: 'string', default: 'starts.png' },
      set: { type: 'string', multiple: true },
      json: { type: 'boolean' },
    },
  });
  const steps = count('--steps', values.steps);
  if (values.data === undefined)
    throw new UsageError('no images to train on', {
      code: 'E_ARGUMENT_MISSING',
      fix: '--data with a folder of images',
    });
  const config = loadConfig(dvaeSchema, {
    file: values.config,
    set: values.set,
    flags: { 'data.path': values.data },
  });
  const results: Record<string, Point[]> = {};
  for (const [name, own] of Object.entries(contestants(config, steps))) {
    results[name] = await train(own);
    const { seconds, mse, use, perplexity } = results[name].at(-1) as Point;
    console.error(
      `${name}: MSE ${mse.toPrecision(3)}, ${(100 * use).toFixed(0)} % used, perplexity ${perplexity.toFixed(0)}, ${seconds.toFixed(0)} s`,
    );
  }
  const curves = (of: (point: Point) => number): Curve[] =>
    Object.entries(results).map(([name, points]) => ({
      name,
      points: points.map((point) => [point.seconds, of(point)]),
    }));
  await writeFileAtomic(
    values.out,
    await curvesPng([
      { title: 'mean squared error from hard codes', curves: curves(({ mse }) => mse), logarithmic: true },
      { title: 'codes in use, %', curves: curves(({ use }) => 100 * use), logarithmic: false },
    ]),
  );
  if (values.json) console.log(JSON.stringify({ steps, out: values.out, results }));
  else console.log(table(results));
}

/** Markdown: the last validation of each start, and the one nearest to half of the time. */
function table(results: Readonly<Record<string, readonly Point[]>>): string {
  const lines = Object.entries(results).flatMap(([name, points]) => {
    const last = points.at(-1) as Point;
    const half = points.reduce((a, b) =>
      Math.abs(b.seconds - last.seconds / 2) < Math.abs(a.seconds - last.seconds / 2) ? b : a,
    );
    return [half, last].map(
      ({ seconds, mse, use, perplexity }) =>
        `| ${name} | ${seconds.toFixed(0)} | ${mse.toPrecision(3)} | ${(100 * use).toFixed(0)} % | ${perplexity.toFixed(0)} |`,
    );
  });
  return [
    '| start | s | MSE | codes in use | perplexity |',
    '| --- | --- | --- | --- | --- |',
    ...lines,
  ].join('\n');
}

await runScript(main);
