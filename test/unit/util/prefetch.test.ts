import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { prefetch } from '../../../src/util/prefetch.ts';

function* naturals(): Generator<number> {
  for (let n = 0; ; n++) yield n;
}

async function collect<T>(results: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const result of results) all.push(result);
  return all;
}

for (const depth of [1, 2, 3, 10]) {
  test(`results come in the order of the items, whichever ends first: depth ${depth}`, async () => {
    const work = (n: number): Promise<number> => setTimeout((7 - n) % 4, n * n);
    assert.deepEqual(await collect(prefetch([0, 1, 2, 3, 4, 5, 6], depth, work)), [0, 1, 4, 9, 16, 25, 36]);
    assert.deepEqual(await collect(prefetch([], depth, work)), []);
  });

  test(`at most depth calls are in flight, one of them awaited: depth ${depth}`, async () => {
    let started = 0;
    const results = prefetch(naturals(), depth, async (n) => {
      started++;
      await setImmediate();
      return n;
    });
    for (let n = 0; n < 5; n++) {
      const behind = started;
      assert.equal((await results.next()).value, n);
      if (depth > 2 && n > 0)
        assert.equal(started, behind, 'a result that is there does not wait for the next call');
      await setImmediate();
      assert.equal(started, n + depth, 'the consumer has one, depth − 1 are ahead');
    }
    await results.return();
  });
}

test('a failure is thrown in its turn, after the results before it', async () => {
  const results = prefetch([0, 1, 2, 3], 3, async (n) => {
    if (n === 1) throw new RangeError('one');
    return n;
  });
  assert.equal((await results.next()).value, 0);
  await assert.rejects(results.next(), { name: 'RangeError', message: 'one' });
  assert.equal((await results.next()).done, true);
});

test('a consumer that stops early waits for the calls in flight', async () => {
  let running = 0;
  const results = prefetch(naturals(), 4, async (n) => {
    running++;
    await setTimeout(5);
    running--;
    if (n === 2) throw new Error('nobody asks for it');
    return n;
  });
  await results.next();
  assert.ok(running > 0);
  await results.return();
  assert.equal(running, 0);
});
