import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Tensor, tf } from '../../../src/engine/tfjs/tf.ts';
import { BatchStatistics, batchNorm, batchNormSpec, movedTowards } from '../../../src/nn/batch-norm.ts';
import { RandomStream } from '../../../src/util/random.ts';
import {
  directionalDerivatives,
  largestDifference,
  numbers,
  perturbed,
  randomTensor,
} from '../../support/perturbed.ts';

const CHANNELS = 3;
const ROWS = 2 * 4 * 5;
const random = new RandomStream('batch norm');
const initial = perturbed(batchNormSpec(CHANNELS), 1);
const p = { ...initial, variance: tf.abs(initial.variance) };
const x = tf.add(tf.mul(randomTensor([2, 4, 5, CHANNELS], random), 2), 1);

/** Mean and population variance of each channel, one number at a time. */
function slowStatistics(): { mean: number[]; variance: number[] } {
  const values = numbers(x);
  const column = (c: number): number[] => values.filter((_, i) => i % CHANNELS === c);
  const mean = [0, 1, 2].map((c) => column(c).reduce((a, b) => a + b) / ROWS);
  const variance = [0, 1, 2].map((c) => column(c).reduce((a, b) => a + (b - mean[c]!) ** 2, 0) / ROWS);
  return { mean, variance };
}

const normalized = (mean: readonly number[], variance: readonly number[]): number[] =>
  numbers(x).map((value, i) => {
    const c = i % CHANNELS;
    const scaled = (value - mean[c]!) / Math.sqrt(variance[c]! + 1e-5);
    return scaled * numbers(p.gain)[c]! + numbers(p.bias)[c]!;
  });

test('batch norm normalizes by the running statistics in inference', () => {
  const y = batchNorm(p, x);
  assert.deepEqual(y.shape, x.shape);
  assert.ok(largestDifference(numbers(y), normalized(numbers(p.mean), numbers(p.variance))) < 1e-5);
});

test('batch norm normalizes by the batch in training, and moves the running statistics by a tenth', () => {
  const statistics = new BatchStatistics();
  const y = batchNorm(p, x, statistics);
  const { mean, variance } = slowStatistics();
  assert.ok(largestDifference(numbers(y), normalized(mean, variance)) < 1e-5);
  const towards = (running: number[], seen: number[]): number[] =>
    running.map((value, c) => 0.9 * value + 0.1 * seen[c]!);
  const next = (running: Tensor): number[] => numbers(movedTowards(running, statistics.share(running)!));
  const unbiased = variance.map((value) => (value * ROWS) / (ROWS - 1));
  assert.ok(largestDifference(next(p.mean), towards(numbers(p.mean), mean)) < 1e-6);
  assert.ok(largestDifference(next(p.variance), towards(numbers(p.variance), unbiased)) < 1e-6);
  assert.equal(statistics.share(p.gain), undefined);
});

test('the gradient of batch norm in training includes that of the statistics', () => {
  const readout = randomTensor(x.shape, random);
  const { analytic, numeric } = directionalDerivatives(
    (value) => tf.sum(tf.mul(batchNorm(p, value, new BatchStatistics()), readout)),
    x,
    2,
  );
  assert.ok(
    Math.abs(analytic) > 0.1 && Math.abs(analytic - numeric) < 0.01 * Math.abs(analytic),
    `${analytic} ${numeric}`,
  );
});
