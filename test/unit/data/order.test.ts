import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ShuffledOrder } from '../../../src/data/order.ts';

function take(order: ShuffledOrder, batches: number) {
  return Array.from({ length: batches }, () => order.next());
}

test('every example occurs once in an epoch, in a new order each epoch', () => {
  const batches = take(new ShuffledOrder({ count: 12, batch: 4, seed: 1 }), 6);
  const [first, second] = [batches.slice(0, 3), batches.slice(3)].map((part) =>
    part.flatMap(({ indices }) => [...indices]),
  );
  const all = Array.from({ length: 12 }, (_, i) => i);
  assert.deepEqual(
    first!.toSorted((a, b) => a - b),
    all,
  );
  assert.deepEqual(
    second!.toSorted((a, b) => a - b),
    all,
  );
  assert.notDeepEqual(first, all);
  assert.notDeepEqual(first, second);
});

test('a batch that does not fit in an epoch continues in the next: no example is left out', () => {
  const batches = take(new ShuffledOrder({ count: 5, batch: 3, seed: 1 }), 5);
  const drawn = batches.flatMap(({ indices, epochs }) =>
    [...indices].map((index, i) => ({ index, epoch: epochs[i] })),
  );
  for (const epoch of [0, 1, 2])
    assert.deepEqual(
      drawn
        .filter((d) => d.epoch === epoch)
        .map((d) => d.index)
        .sort(),
      [0, 1, 2, 3, 4],
    );
});

test('a batch may be larger than the data set', () => {
  const [batch] = take(new ShuffledOrder({ count: 2, batch: 7, seed: 0 }), 1);
  assert.deepEqual([...batch!.epochs], [0, 0, 1, 1, 2, 2, 3]);
  assert.deepEqual(batch!.position, { epoch: 3, index: 1 });
});

test('an order resumed at any position equals an uninterrupted one', () => {
  for (const [count, batch] of [
    [10, 3],
    [6, 6],
    [3, 5],
  ] as const) {
    const whole = take(new ShuffledOrder({ count, batch, seed: 9 }), 8);
    for (let stop = 1; stop < 8; stop++) {
      const position = JSON.parse(JSON.stringify(whole[stop - 1]!.position));
      assert.deepEqual(
        take(new ShuffledOrder({ count, batch, seed: 9, position }), 8 - stop),
        whole.slice(stop),
      );
    }
  }
});

test('another seed gives another order; an order of no examples is refused', () => {
  const [a, b] = [1, 2].map((seed) => [...new ShuffledOrder({ count: 50, batch: 50, seed }).next().indices]);
  assert.notDeepEqual(a, b);
  assert.throws(() => new ShuffledOrder({ count: 0, batch: 1, seed: 0 }), RangeError);
});
