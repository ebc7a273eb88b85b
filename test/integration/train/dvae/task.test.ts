// The discrete VAE improves in a short run, from random weights and from a warm start.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readCheckpoint } from '../../../../src/checkpoint/read.ts';
import { readMetrics } from '../../../../src/report/run/metrics.ts';
import type { LoopResult } from '../../../../src/train/loop/loop.ts';
import { TINY, writeImages } from '../../../support/tiny-dvae.ts';
import { dvaeConfig, dvaeSession } from '../../../support/tiny-runs.ts';

const STEPS = 90;
const IMAGES = 60;

const root = mkdtempSync(join(tmpdir(), 'mm-dvae-'));
const data = join(root, 'images');
before(() => writeImages(data, IMAGES));
after(() => rmSync(root, { recursive: true }));

for (const [name, settings] of [
  [
    'from random weights',
    {
      optimizer: { learningRate: { peak: 5e-3, end: 5e-4, warmup: 10 } },
      temperature: { start: 0.5, end: 0.1 },
      kl: { weight: 0.1, steps: 0 },
    },
  ],
  [
    'from a warm start',
    {
      optimizer: { learningRate: { peak: 2e-3, end: 2e-4, warmup: 10 } },
      temperature: { start: 0.125, end: 0.0625 },
      kl: { weight: 0, steps: 0 },
      warmStart: { steps: 20, width: 8, images: IMAGES, sharpness: 20 },
    },
  ],
] as const) {
  describe(name, () => {
    const run = join(root, name);
    let result: LoopResult;
    let evaluations: Readonly<Record<string, number>>[];
    before(async () => {
      const config = dvaeConfig(data, 0, {
        steps: STEPS,
        batch: 8,
        evaluateEvery: STEPS / 3,
        saveEvery: STEPS,
        ema: undefined,
        minLogScale: -1,
        ...settings,
      });
      Object.assign(config.data, { crop: 'none', flip: false });
      result = await dvaeSession(config)(run);
      const metrics = await readMetrics(join(run, 'metrics.jsonl'));
      evaluations = metrics.filter(({ values }) => 'validation/mse' in values).map(({ values }) => values);
    });

    // From where a warm start ends, rounding decides which way the error of a few updates goes.
    const slack = 'warmStart' in settings ? 1.01 : 1;

    test(`the error on held-out images falls${slack > 1 ? ', or stays, and the loss falls' : ''}`, () => {
      const mse = evaluations.map((values) => values['validation/mse']!);
      assert.equal(mse.length, 4);
      assert.ok(mse.at(-1)! < slack * mse[0]!, `${mse.join(' → ')}`);
      assert.ok(result.lastLoss! < result.firstLoss!, `loss ${result.firstLoss} → ${result.lastLoss}`);
    });

    test('PSNR and the use of the codebook are reported, in the metrics, the result and the checkpoint', async () => {
      const { mse, psnr, codesUsed, codebookUse, perplexity } = result.evaluation;
      assert.ok(Math.abs(psnr! + 10 * Math.log10(mse!)) < 1e-9);
      assert.ok(Number.isInteger(codesUsed) && codesUsed! >= 1 && codesUsed! <= TINY.vocabulary);
      assert.equal(codebookUse, codesUsed! / TINY.vocabulary);
      assert.ok(perplexity! >= 1 && perplexity! <= codesUsed! + 1e-9);
      const last = Object.entries(evaluations.at(-1)!).map(([key, value]) => [
        key.replace('validation/', ''),
        value,
      ]);
      assert.deepEqual(Object.fromEntries(last), result.evaluation);
      const { state } = await readCheckpoint(run, { kind: 'dvae', warn: assert.fail });
      assert.deepEqual(state.metrics, result.evaluation);
    });
  });
}

test('a warm start uses more of the codebook at once', async () => {
  const use = async (name: string): Promise<number> =>
    (await readMetrics(join(root, name, 'metrics.jsonl')))[0]!.values['validation/codesUsed']!;
  const [random, warm] = [await use('from random weights'), await use('from a warm start')];
  assert.ok(warm > random, `${warm} codes against ${random}`);
});
