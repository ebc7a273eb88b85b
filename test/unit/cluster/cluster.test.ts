// Collective operations of the control channel; and the errors of one worker on all the others.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DataError, InterruptedError, UsageError } from '../../../src/util/errors.ts';
import { runAllWorkers, runWorkers } from '../../support/cluster.ts';

test('workers without any exchange end', async () => {
  for (let round = 0; round < 10; round++)
    assert.deepEqual(await runAllWorkers(4, async () => round), Array(4).fill(round));
});

test('every collective operation gives its result again and again', async () => {
  const workers = 3;
  const results = await runAllWorkers(workers, async (cluster) => {
    const { rank } = cluster;
    const seen: unknown[] = [];
    for (let round = 0; round < 20; round++) {
      seen.push(await cluster.broadcastText(rank === 0 ? `round ${round} ✓` : undefined));
      seen.push(await cluster.gatherTexts(`${rank}/${round}`));
      seen.push((await cluster.gather(Float64Array.of(rank, Number.NaN))).map((numbers) => [...numbers]));
      seen.push(await cluster.anyTrue(rank === 2 && round === 7));
      await cluster.assertSame('round', String(round));
    }
    return seen;
  });
  const expected = Array.from({ length: 20 }, (_, round) => [
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

describe('an error of one worker', () => {
  const reasons = (outcomes: readonly PromiseSettledResult<unknown>[]): Error[] =>
    outcomes.map((outcome) => {
      assert.equal(outcome.status, 'rejected');
      return (outcome as PromiseRejectedResult).reason as Error;
    });

  test('assertSame names the worker whose text differs, on all workers', async () => {
    const outcomes = await runWorkers(3, (cluster) =>
      cluster.assertSame('configuration', cluster.rank === 2 ? 'b' : 'a'),
    );
    for (const error of reasons(outcomes)) {
      assert.ok(error instanceof UsageError);
      assert.deepEqual([error.code, error.option], ['E_WORKER_MISMATCH', 'join']);
      assert.equal(error.message, 'worker 2 has another configuration than worker 0');
    }
  });

  for (const failing of [0, 1, 2]) {
    test(`of worker ${failing} becomes an error of all workers, with its codes and place`, async () => {
      const outcomes = await runWorkers(3, async (cluster) => {
        if (cluster.rank === failing)
          throw new InterruptedError('stopped\u001b[31m at step 3', {
            code: 'E_INTERRUPTED',
            option: 'steps',
            where: 'there',
            fix: 'so',
          });
        await cluster.gather(new Float64Array(10));
        await cluster.gather(new Float64Array(10));
      });
      for (const [rank, error] of reasons(outcomes).entries()) {
        assert.ok(error instanceof InterruptedError);
        assert.equal(
          error.message,
          rank === failing ? 'stopped\u001b[31m at step 3' : `worker ${failing}: stopped [31m at step 3`,
        );
        const { code, option, where, fix } = error;
        assert.deepEqual([code, option, where, fix], ['E_INTERRUPTED', 'steps', 'there', 'so']);
      }
    });
  }

  test('that is a bug stops the others, without its details', async () => {
    const [, first, second] = reasons(
      await runWorkers(3, async (cluster) => {
        if (cluster.rank === 0) throw new TypeError('secret detail');
        await cluster.anyTrue(false);
      }),
    );
    for (const error of [first!, second!]) {
      assert.ok(error instanceof DataError);
      assert.equal(error.code, 'E_WORKER_FAILED');
      assert.match(error.message, /^worker 0: /);
      assert.doesNotMatch(error.message, /secret detail/);
    }
  });

  test('that ends early does not disturb the others, except those that wait for it', async () => {
    const outcomes = await runWorkers(3, async (cluster) => {
      await cluster.anyTrue(false);
      if (cluster.rank === 0) return;
      if (cluster.rank === 1) await new Promise((resolve) => setTimeout(resolve, 50));
      else await cluster.anyTrue(true);
    });
    assert.equal(outcomes[0]!.status, 'fulfilled');
    const { reason } = outcomes[2] as PromiseRejectedResult;
    assert.equal(reason.code, 'E_WORKER_LOST');
    assert.match(reason.message, /^worker [01]: .*ended before/);
  });

  test('that calls another operation than the others is detected', async () => {
    const outcomes = await runWorkers(2, async (cluster) => {
      if (cluster.rank === 0) await cluster.gatherTexts('eight').then(() => cluster.gatherTexts('more'));
      else await cluster.gather(new Float64Array(8));
    });
    assert.ok(
      outcomes.some((outcome) => /out of step/.test(String((outcome as PromiseRejectedResult).reason))),
    );
    for (const error of reasons(outcomes)) {
      assert.ok(error instanceof DataError);
      assert.equal(error.code, 'E_WORKER_LOST');
    }
  });
});
