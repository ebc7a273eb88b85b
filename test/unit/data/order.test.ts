import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BatchPosition, FullShuffle, type Turn, turns } from '../../../src/data/order.ts';

/** The first turns of `count` examples. */
function take(count: number, seed: number, length: number, position?: BatchPosition): Turn[] {
  const order = turns(new FullShuffle(count, seed), position);
  return Array.from({ length }, () => order.next().value);
}

test('every example occurs once in an epoch, in a new order each epoch', () => {
  const all = Array.from({ length: 12 }, (_, i) => i);
  const taken = take(12, 1, 24);
  const [first, second] = [0, 1].map((e) => taken.flatMap(({ epoch, index }) => (epoch === e ? index : [])));
  for (const order of [first, second])
    assert.deepEqual(
      order!.toSorted((a, b) => a - b),
      all,
    );
  assert.notDeepEqual(first, all);
  assert.notDeepEqual(first, second);
});

test('epochs follow one another, and positions count the examples used of each', () => {
  assert.deepEqual(
    take(2, 0, 5).map(({ epoch, position }) => [epoch, position.epoch, position.index]),
    [
      [0, 0, 1],
      [0, 0, 2],
      [1, 1, 1],
      [1, 1, 2],
      [2, 2, 1],
    ],
  );
});

test('an order resumed at any position equals an uninterrupted one', () => {
  for (const count of [10, 6, 3]) {
    const whole = take(count, 9, 24);
    for (let stop = 1; stop < 24; stop++) {
      const position = JSON.parse(JSON.stringify(whole[stop - 1]!.position)) as BatchPosition;
      assert.deepEqual(take(count, 9, 24 - stop, position), whole.slice(stop));
    }
  }
});

test('another seed gives another order; an order of no examples is refused', () => {
  const [a, b] = [1, 2].map((seed) => take(50, seed, 50).map(({ index }) => index));
  assert.notDeepEqual(a, b);
  assert.throws(() => take(0, 0, 1), RangeError);
});
