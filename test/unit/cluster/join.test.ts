// The rendezvous of the workers, and the connections it refuses.

import assert from 'node:assert/strict';
import { createServer, Socket } from 'node:net';
import { describe, test } from 'node:test';
import { isLoopback, parseAddress } from '../../../src/cluster/address.ts';
import { Cluster } from '../../../src/cluster/cluster.ts';
import type { JoinOptions } from '../../../src/cluster/rendezvous.ts';
import { DataError, UsageError } from '../../../src/util/errors.ts';
import { joinAll, LOOPBACK } from '../../support/cluster.ts';

type Outcome = PromiseSettledResult<unknown>;

const reasonOf = (outcome: Outcome | undefined): Error => {
  assert.equal(outcome?.status, 'rejected');
  return (outcome as PromiseRejectedResult).reason as Error;
};

const alone: JoinOptions = {
  rank: 0,
  workers: 2,
  address: LOOPBACK,
  secret: 's',
  timeoutSeconds: 0.3,
  signal: new AbortController().signal,
};

/** The port of worker 0 of two; it waits until the test calls `end`. */
async function hosting(over: Partial<JoinOptions> = {}) {
  const controller = new AbortController();
  let cluster!: Promise<Cluster>;
  const port = await new Promise<number>((resolve) => {
    cluster = Cluster.join({
      ...alone,
      timeoutSeconds: 10,
      signal: controller.signal,
      onListening: resolve,
      ...over,
    });
  });
  cluster.catch(() => {});
  return { port, cluster, end: () => controller.abort() };
}

test('a worker with another secret is refused, and worker 0 keeps waiting for the right one', async () => {
  const refused: string[] = [];
  const { port, cluster } = await hosting({ onRefused: (why) => refused.push(why) });
  const address = { ...LOOPBACK, port };
  const other = { ...alone, rank: 1, address, timeoutSeconds: 10 };
  await assert.rejects(Cluster.join({ ...other, secret: 'another' }), (error: Error) => {
    assert.ok(error instanceof UsageError);
    assert.deepEqual([error.code, error.option], ['E_WORKER_REFUSED', 'join']);
    assert.match(error.message, /MM_WORKERS_SECRET/);
    return true;
  });
  assert.match(refused.join(), /^127\.0\.0\.1: .*MM_WORKERS_SECRET$/);
  const second = await Cluster.join(other);
  const first = await cluster;
  assert.deepEqual(await Promise.all([first.anyTrue(false), second.anyTrue(true)]), [true, true]);
  await Promise.all([first.close(), second.close()]);
});

test('connections that end, speak another protocol or stay silent are refused', async () => {
  const refused: string[] = [];
  const { port, cluster } = await hosting({ onRefused: (why) => refused.push(why) });
  const silent = new Socket().connect(port, LOOPBACK.host);
  silent.on('error', () => {});
  for (const words of ['', 'GET / HTTP/1.1\r\n\r\n', Buffer.from([4, 0, 0, 0, 0x6e, 0x75, 0x6c, 0x6c])]) {
    const caller = new Socket().connect(port, LOOPBACK.host);
    caller.on('error', () => {});
    caller.end(words);
    caller.resume();
    await new Promise((resolve) => caller.on('close', resolve));
  }
  const second = await Cluster.join({
    ...alone,
    rank: 1,
    address: { ...LOOPBACK, port },
    timeoutSeconds: 10,
  });
  const first = await cluster;
  assert.equal(refused.length, 3);
  assert.equal(refused.filter((why) => /protocol/.test(why)).length, 2);
  await new Promise((resolve) => silent.on('close', resolve).resume());
  await Promise.all([first.close(), second.close()]);
});

test('a process that answers without the secret is not accepted as worker 0', async () => {
  const nonce = '0'.repeat(64);
  const server = createServer((socket) => {
    socket.on('error', () => {}).resume();
    for (const message of [{ mm: 'workers', nonce }, { proof: nonce }]) {
      const body = Buffer.from(JSON.stringify(message));
      const length = Buffer.alloc(4);
      length.writeUInt32LE(body.length);
      socket.write(Buffer.concat([length, body]));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, LOOPBACK.host, resolve));
  const { port } = server.address() as { port: number };
  await assert.rejects(
    Cluster.join({ ...alone, rank: 1, address: { ...LOOPBACK, port }, timeoutSeconds: 5 }),
    (error: Error) => {
      assert.ok(error instanceof DataError);
      assert.deepEqual([error.code, error.option], ['E_WORKER_REFUSED', 'join']);
      return true;
    },
  );
  server.close();
});

describe('all workers get an error when one of them has', () => {
  const cases: Record<string, { over: (rank: number) => Partial<JoinOptions>; says: RegExp }> = {
    'another number of workers': {
      over: (rank) => (rank === 2 ? { workers: 4 } : {}),
      says: /worker 2 has `workers` 4, worker 0 3/,
    },
    'the rank of another worker': {
      over: (rank) => (rank === 2 ? { rank: 1 } : {}),
      says: /there are two workers 1/,
    },
  };
  for (const [what, { over, says }] of Object.entries(cases)) {
    test(what, async () => {
      const outcomes = await joinAll(3, over);
      const [first] = outcomes;
      assert.ok(reasonOf(first) instanceof UsageError);
      for (const outcome of outcomes) {
        // The worker that joined first with that rank gets the message of worker 0.
        const error = reasonOf(outcome) as UsageError;
        assert.equal(error.code, 'E_WORKER_REFUSED');
        assert.match(error.message, says);
      }
    });
  }
});

test('the workers that did not join in time are named', async () => {
  await assert.rejects(Cluster.join({ ...alone, workers: 3 }), (error: Error) => {
    assert.ok(error instanceof DataError);
    assert.deepEqual([error.code, error.option], ['E_WORKER_MISSING', 'join']);
    assert.equal(error.message, 'workers 1, 2 did not join in 0.3 seconds');
    return true;
  });
  const { port, end } = await hosting();
  end();
  await assert.rejects(Cluster.join({ ...alone, rank: 1, address: { ...LOOPBACK, port } }), {
    code: 'E_WORKER_MISSING',
    message: 'worker 0 did not join in 0.3 seconds',
  });
});

test('a worker that joined gets the error of worker 0, of its kind, when another one does not', async () => {
  const { port, cluster } = await hosting({ workers: 3, timeoutSeconds: 1 });
  const second = Cluster.join({
    ...{ ...alone, rank: 2, workers: 3, timeoutSeconds: 10 },
    address: { ...LOOPBACK, port },
  });
  const [first, other] = await Promise.allSettled([cluster, second]);
  for (const error of [reasonOf(first), reasonOf(other)]) {
    assert.ok(error instanceof DataError, error.name);
    assert.deepEqual([error.code, error.option], ['E_WORKER_MISSING', 'join']);
    assert.match(error.message, /worker 1 did not join in 1 seconds$/);
  }
});

test('an abort signal ends the rendezvous, with its reason where that is an error for users', async () => {
  const { cluster, end } = await hosting();
  end();
  await assert.rejects(cluster, { name: 'InterruptedError', code: 'E_INTERRUPTED' });
  const reason = new DataError('a worker ended', { code: 'E_WORKER_LOST' });
  await assert.rejects(Cluster.join({ ...alone, signal: AbortSignal.abort(reason) }), reason);
});

test('several machines need a secret, and worker 0 an address of its machine and a free port', async () => {
  const host = { ...alone, secret: '', address: { host: '0.0.0.0', port: 0 } };
  await assert.rejects(Cluster.join(host), { code: 'E_SECRET_MISSING', where: '0.0.0.0:0' });
  const elsewhere = { ...alone, address: { host: '192.0.2.1', port: 29500 } };
  await assert.rejects(Cluster.join(elsewhere), { code: 'E_ADDRESS', where: '192.0.2.1:29500' });
  const { port, end } = await hosting();
  await assert.rejects(Cluster.join({ ...alone, address: { ...LOOPBACK, port } }), {
    code: 'E_PORT_IN_USE',
    where: `127.0.0.1:${port}`,
  });
  end();
});

test('an address is HOST:PORT, with an IPv6 host in brackets; loopback addresses are recognized', () => {
  assert.deepEqual(parseAddress('10.0.0.1:29500'), { host: '10.0.0.1', port: 29500 });
  assert.deepEqual(parseAddress('[::1]:80'), { host: '::1', port: 80 });
  for (const text of ['', 'host', 'host:', ':80', 'host:0', 'host:65536', '::1:80', 'host:8a'])
    assert.throws(() => parseAddress(text), { name: 'UsageError', code: 'E_ADDRESS', option: 'join' }, text);
  assert.deepEqual(['127.0.0.1', '127.9.9.9', '::1', '10.127.0.1', '0.0.0.0', '::'].map(isLoopback), [
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
});
