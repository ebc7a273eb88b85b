import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DataWait } from '../../../../src/train/loop/data-wait.ts';

test('the wait is that before the batch and that within the update, over both together', () => {
  let now = 0;
  const wait = new DataWait(() => now);
  const step = (before: number, update: number, within?: number): void => {
    wait.start();
    now += before;
    wait.received();
    now += update;
    wait.updated(within);
    now += 1000; // evaluation, which counts as neither
  };
  assert.equal(wait.total(), undefined);
  step(10, 90);
  assert.equal(wait.sinceLast(), 0.1);
  step(0, 100, 30);
  assert.equal(wait.sinceLast(), 0.3);
  assert.equal(wait.sinceLast(), 0);
  assert.equal(wait.total(), 0.2);
});
