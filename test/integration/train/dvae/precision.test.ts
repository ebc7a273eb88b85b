// The discrete VAE learns in 16 bits as in 32, and survives overflows of float16.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readCheckpoint } from '../../../../src/checkpoint/read.ts';
import { type MetricsLine, readMetrics } from '../../../../src/report/run/metrics.ts';
import type { DataError } from '../../../../src/util/errors.ts';
import { writeImages } from '../../../support/tiny-dvae.ts';
import { dvaeConfig, dvaeSession } from '../../../support/tiny-runs.ts';

const STEPS = 80;
/** Steps before rounding has grown into other codes. */
const EARLY = 10;

const root = mkdtempSync(join(tmpdir(), 'mm-precision-'));
const data = join(root, 'images');
before(() => writeImages(data, 4));
after(() => rmSync(root, { recursive: true }));

async function train(name: string, settings: object, resume = false): Promise<MetricsLine[]> {
  const config = dvaeConfig(data, 0, {
    steps: STEPS,
    batch: 4,
    logEvery: 1,
    evaluateEvery: STEPS,
    saveEvery: STEPS,
    optimizer: { learningRate: { peak: 1e-2, end: 2e-3, warmup: 5 } },
    ema: undefined,
    minLogScale: -1,
    kl: { weight: 0, steps: 0 },
    temperature: { start: 1, end: 0.5 },
    ...settings,
  });
  Object.assign(config.data, { crop: 'none', flip: false, validation: 0 });
  await dvaeSession(config)(join(root, name), { resume });
  return readMetrics(join(root, name, 'metrics.jsonl'));
}

const curve = (lines: readonly MetricsLine[]): number[] =>
  lines.flatMap(({ values }) => (values.loss === undefined ? [] : [values.loss]));

/** The mean of the last quarter. */
const late = (losses: readonly number[]): number =>
  losses.slice(-STEPS / 4).reduce((sum, loss) => sum + loss, 0) / (STEPS / 4);

describe('the loss curve', () => {
  let expected: number[];
  before(async () => {
    expected = curve(await train('float32', {}));
  });

  for (const precision of ['bfloat16', 'float16'] as const) {
    test(`${precision} gives that of float32, within noise`, async () => {
      const lines = await train(precision, { precision });
      const losses = curve(lines);
      const fall = expected[0]! - late(expected);
      assert.ok(fall > 0.2, `float32 learns: ${expected[0]} → ${late(expected)}`);
      const far = losses.slice(0, EARLY).map((loss, i) => Math.abs(loss - expected[i]!));
      assert.ok(
        Math.max(...far) < fall / 50,
        `off by ${Math.max(...far)} early on; float32 falls by ${fall}`,
      );
      const apart = Math.abs(late(losses) - late(expected));
      assert.ok(apart < fall / 4, `off by ${apart} at the end; float32 falls by ${fall}`);
      assert.notDeepEqual(losses, expected);
      assert.equal(
        lines.some(({ values }) => 'lossScale' in values),
        precision === 'float16',
      );
    });
  }

  test('float16 learns from a scale that overflows, after skipped updates', async () => {
    const lines = await train('too high', { precision: 'float16', lossScale: { start: 2 ** 30 } });
    const scales = lines.flatMap(({ values }) => values.lossScale ?? []);
    const skipped = lines.flatMap(({ values }) => values.skippedUpdates ?? []).at(-1)!;
    assert.ok(skipped > 0 && skipped < STEPS / 2, `${skipped} skipped`);
    assert.equal(scales[0], 2 ** 30);
    // The scale does not grow in so short a run: each update skipped before halved it once.
    const before = lines.flatMap(({ values }) => values.skippedUpdates ?? []);
    for (const [i, scale] of scales.entries()) assert.equal(scale, 2 ** (30 - (before[i - 1] ?? 0)));
    const losses = curve(lines);
    assert.ok(late(losses) < losses[0]! - 0.1, `${losses[0]} → ${late(losses)}`);
  });
});

test('a run resumed in float16 starts with the initial scale, and one resumed in float32 drops it', async () => {
  const short = { steps: 3, evaluateEvery: 3, saveEvery: 3 };
  await train('changes', { ...short, precision: 'bfloat16' });
  const lossScale = { start: 4096 };
  const lines = await train('changes', { ...short, steps: 5, precision: 'float16', lossScale }, true);
  assert.equal(lines.find(({ step, values }) => step === 4 && 'loss' in values)!.values.lossScale, 4096);
  await train('changes', { ...short, steps: 6, precision: 'float32' }, true);
  const { state } = await readCheckpoint(join(root, 'changes'), { kind: 'dvae', warn: assert.fail });
  assert.equal(state.step, 6);
});

test('gradients that overflow at any scale end the run', async () => {
  const lossScale = { start: 2 ** -9 };
  // ln b has no bound here, and a learning rate of this size makes the weights diverge.
  const optimizer = { learningRate: { peak: 1e4 } };
  await assert.rejects(
    train('overflow', { precision: 'float16', lossScale, optimizer, minLogScale: undefined }),
    (error: DataError) => error.code === 'E_LOSS_SCALE' || error.code === 'E_DIVERGED',
  );
});
