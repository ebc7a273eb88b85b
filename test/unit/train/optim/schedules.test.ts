// The values of schedules at their corners.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { learningRateAt } from '../../../../src/train/optim/schedules.ts';

test('the learning rate rises to its peak, stays there as long as configured, and falls in a cosine to its end', () => {
  const schedule = { peak: 2, end: 1, warmup: 4, hold: 3, steps: 9 };
  const rates = Array.from({ length: 11 }, (_, step) => learningRateAt(step, schedule, 100));
  assert.deepEqual(rates, [0.5, 1, 1.5, 2, 2, 2, 2, 2, 1.5, 1, 1]);
});

test('a schedule without a length is as long as the run', () => {
  assert.equal(learningRateAt(10, { peak: 2, end: 0, warmup: 0 }, 20), 1);
});
