// What workers exchange, against the slow and obvious way; and how they end when one of them does.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CHUNK_LENGTH } from '../../../src/cluster/frame.ts';
import { DataError, InterruptedError, UsageError } from '../../../src/util/errors.ts';
import { RandomStream } from '../../../src/util/random.ts';
import { runAllWorkers, runWorkers } from '../../support/cluster.ts';

/** Numbers of very different sizes: sums of them depend on the order. */
function numbersOf(rank: number, lengths: readonly number[]): Float32Array[] {
  const random = new RandomStream('sums', rank);
  return lengths.map((length) =>
    Float32Array.from({ length }, () => random.normal() * 10 ** (6 * random.uniform())),
  );
}

function sumInOrder(all: readonly Float32Array[][], order: readonly number[]): Float32Array[] {
  return all[0]!.map((array, which) =>
    Float32Array.from(array, (_, i) =>
      order.reduce((sum, rank) => Math.fround(sum + all[rank]![which]![i]!), 0),
    ),
  );
}

describe('sums', () => {
  for (const workers of [2, 3, 4]) {
    for (const lengths of [[5, 0, 1, 700, 3], [1], [], [2, CHUNK_LENGTH * 2 + 17, 9]]) {
      test(`of ${workers} workers, arrays of ${lengths.join(', ') || 'nothing'}`, async () => {
        const inputs = Array.from({ length: workers }, (_, rank) => numbersOf(rank, lengths));
        const ranks = inputs.map((_, rank) => rank);
        const expected = sumInOrder(inputs, ranks);
        const sums = await runAllWorkers(workers, async (cluster) => {
          const arrays = numbersOf(cluster.rank, lengths);
          await cluster.allReduceSum(arrays);
          return arrays;
        });
        for (const sum of sums) assert.deepEqual(sum, expected);
        // The test would see another order.
        if (workers > 2 && lengths.length > 1)
          assert.notDeepEqual(sumInOrder(inputs, ranks.toReversed()), expected);
      });
    }
  }

  test('what is too small for a normal float32 is 0, and what is not finite stays so', async () => {
    const values = [
      [2 ** -126, 2 ** -140, Number.POSITIVE_INFINITY, Number.NaN, -(2 ** -126)],
      [-(2 ** -126) * 1.5, 2 ** -140, 1, 1, -(2 ** -126)],
    ];
    for (const sum of await runAllWorkers(2, async (cluster) => {
      const array = Float32Array.from(values[cluster.rank]!);
      await cluster.allReduceSum([array]);
      return [...array];
    }))
      assert.deepEqual(sum, [0, 0, Number.POSITIVE_INFINITY, Number.NaN, -(2 ** -125)]);
  });
});

test('workers that have nothing to exchange end all the same', async () => {
  for (let round = 0; round < 10; round++)
    assert.deepEqual(await runAllWorkers(4, async () => round), Array(4).fill(round));
});

test('many exchanges of all kinds, one after the other', async () => {
  const workers = 3;
  const results = await runAllWorkers(workers, async (cluster) => {
    const { rank } = cluster;
    const seen: unknown[] = [];
    for (let round = 0; round < 20; round++) {
      const array = Float32Array.of(rank + 1, round);
      await cluster.allReduceSum([array]);
      seen.push([...array]);
      const start = [Float32Array.of(rank * 10 + round), Float32Array.of(rank, rank)];
      await cluster.broadcast(start);
      seen.push(start.map((part) => [...part]));
      seen.push(await cluster.broadcastText(rank === 0 ? `round ${round} ✓` : undefined));
      seen.push(await cluster.gatherTexts(`${rank}/${round}`));
      seen.push((await cluster.gather(Float64Array.of(rank, Number.NaN))).map((numbers) => [...numbers]));
      seen.push(await cluster.anyTrue(rank === 2 && round === 7));
      await cluster.assertSame('round', String(round));
    }
    return seen;
  });
  const expected = Array.from({ length: 20 }, (_, round) => [
    [6, 3 * round],
    [[round], [0, 0]],
    `round ${round} ✓`,
    [`0/${round}`, `1/${round}`, `2/${round}`],
    [
      [0, Number.NaN],
      [1, Number.NaN],
      [2, Number.NaN],
    ],
    round === 7,
  ]).flat();
  for (const seen of results) assert.deepEqual(seen, expected);
});

describe('one for all', () => {
  const reasons = (outcomes: readonly PromiseSettledResult<unknown>[]): Error[] =>
    outcomes.map((outcome) => {
      assert.equal(outcome.status, 'rejected');
      return (outcome as PromiseRejectedResult).reason as Error;
    });

  test('who is of another opinion is named to all', async () => {
    const outcomes = await runWorkers(3, (cluster) =>
      cluster.assertSame('configuration', cluster.rank === 2 ? 'b' : 'a'),
    );
    for (const error of reasons(outcomes)) {
      assert.ok(error instanceof UsageError);
      assert.equal(error.message, 'worker 2 has another configuration than worker 0');
    }
  });

  for (const failing of [0, 1, 2]) {
    test(`an error of worker ${failing} is everybody's, with its code, wherever they wait`, async () => {
      const outcomes = await runWorkers(3, async (cluster) => {
        if (cluster.rank === failing)
          throw new InterruptedError('stopped\u001b[31m at step 3', { where: 'there', fix: 'so' });
        await cluster.allReduceSum([new Float32Array(10)]);
        await cluster.allReduceSum([new Float32Array(10)]);
      });
      for (const [rank, error] of reasons(outcomes).entries()) {
        assert.ok(error instanceof InterruptedError);
        assert.equal(
          error.message,
          rank === failing ? 'stopped\u001b[31m at step 3' : `worker ${failing}: stopped [31m at step 3`,
        );
        assert.equal(error.fix, 'so');
        assert.equal(error.where, 'there');
      }
    });
  }

  test('a bug of one stops the others', async () => {
    const [, first, second] = reasons(
      await runWorkers(3, async (cluster) => {
        if (cluster.rank === 0) throw new TypeError('secret detail');
        await cluster.anyTrue(false);
      }),
    );
    for (const error of [first!, second!]) {
      assert.ok(error instanceof DataError);
      assert.match(error.message, /^worker 0: failed by a bug/);
    }
  });

  test('who is done before the others does not disturb them; who waits for it is told', async () => {
    const outcomes = await runWorkers(3, async (cluster) => {
      await cluster.anyTrue(false);
      if (cluster.rank === 0) return;
      if (cluster.rank === 1) await new Promise((resolve) => setTimeout(resolve, 50));
      else await cluster.anyTrue(true);
    });
    assert.equal(outcomes[0]!.status, 'fulfilled');
    assert.match(String((outcomes[2] as PromiseRejectedResult).reason), /worker [01]: .*ended before/);
  });

  test('who does something else is told from the others', async () => {
    const outcomes = await runWorkers(2, async (cluster) => {
      if (cluster.rank === 0) await cluster.allReduceSum([new Float32Array(8)]);
      else await cluster.gather(new Float64Array(8));
    });
    assert.ok(
      outcomes.some((outcome) => /out of step/.test(String((outcome as PromiseRejectedResult).reason))),
    );
    for (const error of reasons(outcomes)) assert.ok(error instanceof DataError);
  });
});
