import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { turns } from '../../../../src/data/order.ts';
import { ShardShuffle } from '../../../../src/data/shards/shuffle.ts';

const COUNTS = Int32Array.of(4, 0, 7, 1, 5, 0, 9, 3, 0);
const TOTAL = 29;
const BUFFER = 8;

const shuffle = (seed = 1, buffer = BUFFER): ShardShuffle => new ShardShuffle(COUNTS, buffer, seed);
const epochOf = (of: ShardShuffle, epoch: number): number[] =>
  Array.from({ length: of.count }, (_, place) => of.at(epoch, place));

test('every example occurs once in an epoch, in another order each epoch and for another seed', () => {
  const all = Array.from({ length: TOTAL }, (_, i) => i);
  const orders = [epochOf(shuffle(), 0), epochOf(shuffle(), 1), epochOf(shuffle(2), 0)];
  for (const order of orders)
    assert.deepEqual(
      order.toSorted((a, b) => a - b),
      all,
    );
  assert.equal(new Set(orders.map(String)).size, 3);
});

test('an example is located by counting, empty shards included', () => {
  const slow = [...COUNTS].flatMap((count, shard) =>
    Array.from({ length: count }, (_, sample) => ({ shard, sample })),
  );
  const found = slow.map((_, index) => shuffle().locate(index));
  assert.deepEqual(found, slow);
});

describe('windows', () => {
  test('follow one another, hold the buffer but for the last, and every example lies in the shards of its own', () => {
    const of = shuffle();
    for (const epoch of [0, 1, 5]) {
      const shards: number[] = [];
      for (let place = 0; place < TOTAL; ) {
        const window = of.window(epoch, place);
        assert.equal(window.start, place);
        const inShards = [...window.shards].reduce((sum, shard) => sum + (COUNTS[shard] as number), 0);
        assert.equal(window.end - window.start, inShards);
        assert.ok(inShards >= BUFFER || window.end === TOTAL);
        for (; place < window.end; place++)
          assert.ok(window.shards.includes(of.locate(of.at(epoch, place)).shard));
        shards.push(...window.shards);
      }
      assert.deepEqual(
        shards.sort((a, b) => a - b),
        [0, 2, 3, 4, 6, 7],
      );
    }
  });

  test('a window as large as the data set mixes all of it', () => {
    const { start, end } = shuffle(1, 1000).window(0, 3);
    assert.deepEqual([start, end], [0, TOTAL]);
  });

  test('each example comes first equally often', () => {
    const firsts = new Int32Array(TOTAL);
    const trials = 20_000;
    for (let seed = 0; seed < trials; seed++) {
      const first = shuffle(seed, 1000).at(0, 0);
      firsts[first] = (firsts[first] as number) + 1;
    }
    // Five standard deviations of a binomial.
    const slack = 5 * Math.sqrt(trials / TOTAL);
    for (const count of firsts) assert.ok(Math.abs(count - trials / TOTAL) < slack, String(firsts));
  });
});

test('turns resumed at any position equal uninterrupted ones', () => {
  const take = (count: number, position?: { epoch: number; index: number }) => {
    const order = turns(shuffle(3), position);
    return Array.from({ length: count }, () => order.next().value);
  };
  const length = 2 * TOTAL + 5;
  const whole = take(length);
  for (let stop = 1; stop < length; stop++) {
    const position = JSON.parse(JSON.stringify(whole[stop - 1]?.position));
    assert.deepEqual(take(length - stop, position), whole.slice(stop));
  }
});

test('a data set of more examples than indices have is refused', () => {
  assert.throws(() => new ShardShuffle(Int32Array.of(2 ** 30, 2 ** 30), 1, 0), RangeError);
});
