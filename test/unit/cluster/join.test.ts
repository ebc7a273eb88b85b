// How workers come together, and who is not let in.

import assert from 'node:assert/strict';
import { createServer, Socket } from 'node:net';
import { describe, test } from 'node:test';
import { isLoopback, parseAddress } from '../../../src/cluster/address.ts';
import { Cluster } from '../../../src/cluster/cluster.ts';
import type { JoinOptions } from '../../../src/cluster/rendezvous.ts';
import { DataError, InterruptedError, UsageError } from '../../../src/util/errors.ts';
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

test('a worker with another secret is turned away, and the others go on waiting', async () => {
  const refused: string[] = [];
  const { port, cluster } = await hosting({ onRefused: (why) => refused.push(why) });
  const address = { ...LOOPBACK, port };
  const other = { ...alone, rank: 1, address, timeoutSeconds: 10 };
  await assert.rejects(Cluster.join({ ...other, secret: 'another' }), (error: Error) => {
    assert.ok(error instanceof UsageError);
    assert.match(error.message, /secrets differ: MM_WORKERS_SECRET/);
    return true;
  });
  assert.match(refused.join(), /127\.0\.0\.1: the secrets differ/);
  const second = await Cluster.join(other);
  const first = await cluster;
  assert.deepEqual(await Promise.all([first.anyTrue(false), second.anyTrue(true)]), [true, true]);
  await Promise.all([first.close(), second.close()]);
});

test('strangers at the door are turned away: they end, talk nonsense, or say nothing', async () => {
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
  assert.equal(refused.filter((why) => /does not speak as workers do/.test(why)).length, 2);
  await new Promise((resolve) => silent.on('close', resolve).resume());
  await Promise.all([first.close(), second.close()]);
});

test('what answers without the secret is not believed', async () => {
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
    /does not have the secret/,
  );
  server.close();
});

describe('workers that do not fit together are told so, all of them', () => {
  const cases: Record<string, { over: (rank: number) => Partial<JoinOptions>; says: RegExp }> = {
    'another number of workers': {
      over: (rank) => (rank === 2 ? { workers: 4 } : {}),
      says: /worker 2 has --workers 4, worker 0 3/,
    },
    'a rank that is there already': {
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
        // The one that came first under that rank hears it from worker 0.
        const error = reasonOf(outcome);
        assert.match(error.message, says);
      }
    });
  }
});

test('whoever is missing is named when time is up', async () => {
  await assert.rejects(Cluster.join({ ...alone, workers: 3 }), (error: Error) => {
    assert.ok(error instanceof DataError);
    assert.equal(error.message, 'workers 1, 2 did not join in 0.3 seconds');
    return true;
  });
  const { port, end } = await hosting();
  end();
  await assert.rejects(
    Cluster.join({ ...alone, rank: 1, address: { ...LOOPBACK, port } }),
    /did not come together in 0.3 seconds/,
  );
});

test('Ctrl-C ends the waiting', async () => {
  const { cluster, end } = await hosting();
  end();
  await assert.rejects(cluster, InterruptedError);
  const reason = new DataError('a worker ended');
  await assert.rejects(Cluster.join({ ...alone, signal: AbortSignal.abort(reason) }), reason);
});

test('workers on several machines need a secret; an address has to be this machine’s, and free', async () => {
  const host = { ...alone, secret: '', address: { host: '0.0.0.0', port: 0 } };
  await assert.rejects(Cluster.join(host), /need a secret/);
  const foreign = { ...alone, address: { host: '192.0.2.1', port: 29500 } };
  await assert.rejects(Cluster.join(foreign), /cannot listen there/);
  const { port, end } = await hosting();
  await assert.rejects(Cluster.join({ ...alone, address: { ...LOOPBACK, port } }), /the port is in use/);
  end();
});

test('addresses', () => {
  assert.deepEqual(parseAddress('10.0.0.1:29500'), { host: '10.0.0.1', port: 29500 });
  assert.deepEqual(parseAddress('[::1]:80'), { host: '::1', port: 80 });
  for (const text of ['', 'host', 'host:', ':80', 'host:0', 'host:65536', '::1:80', 'host:8a'])
    assert.throws(() => parseAddress(text), UsageError, text);
  assert.deepEqual(['127.0.0.1', '127.9.9.9', '::1', '10.127.0.1', '0.0.0.0', '::'].map(isLoopback), [
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
});
