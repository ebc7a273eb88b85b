import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { mapConcurrently, semaphore } from '../../../src/util/concurrent.ts';

/** Counts how many run at once. */
function meter() {
  let running = 0;
  const meter = {
    most: 0,
    run: async <T>(value: T, turns = 3): Promise<T> => {
      meter.most = Math.max(meter.most, ++running);
      for (let i = 0; i < turns; i++) await setImmediate();
      running--;
      return value;
    },
  };
  return meter;
}

test('results are in the order of the items, and no more tasks run at once than the limit', async () => {
  const counter = meter();
  const results = await mapConcurrently([5, 1, 4, 2, 3], 2, (item) => counter.run(item * 10, item));
  assert.deepEqual(results, [50, 10, 40, 20, 30]);
  assert.equal(counter.most, 2);
});

test('after a failure no task starts, and the error is thrown when the running ones have ended', async () => {
  const begun: number[] = [];
  let ended = 0;
  const run = mapConcurrently([0, 1, 2, 3, 4, 5], 2, async (item) => {
    begun.push(item);
    if (item === 1) throw new Error('one');
    for (let i = 0; i < 5; i++) await setImmediate();
    ended++;
  });
  await assert.rejects(run, /one/);
  assert.deepEqual([begun, ended], [[0, 1], 1]);
});

test('an empty list of items gives an empty list of results', async () => {
  assert.deepEqual(await mapConcurrently([], 3, async () => 1), []);
});

test('a semaphore runs tasks up to its limit, in order, also after a failure', async () => {
  const counter = meter();
  const through = semaphore(3);
  const order: number[] = [];
  const tasks = Array.from({ length: 10 }, (_, i) =>
    through(async () => {
      order.push(i);
      await counter.run(i);
      if (i % 4 === 0) throw new Error(`task ${i}`);
      return i;
    }),
  );
  const outcomes = await Promise.allSettled(tasks);
  assert.equal(counter.most, 3);
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual(
    outcomes.map(({ status }) => status === 'rejected'),
    order.map((i) => i % 4 === 0),
  );
});
