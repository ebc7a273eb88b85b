// A link whose other end misbehaves or is lost.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import { after, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { encodeHead, HEAD_BYTES, KIND, MAX_TEXT } from '../../../src/cluster/frame.ts';
import { Link } from '../../../src/cluster/link.ts';
import { SocketReader } from '../../../src/cluster/reader.ts';
import { errorFromStop, type Stop } from '../../../src/cluster/stop.ts';
import { DataError, EXIT } from '../../../src/util/errors.ts';

const sockets: Socket[] = [];
after(() => {
  for (const socket of sockets) socket.destroy();
});

const TIMEOUT_SECONDS = 2;
/** Beats in the timeout; the first one finds data from before it, and then so many without data are too many. */
const BEATS = 8;

/** Waits, for a bounded number of turns of the event loop. */
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    assert.ok(turn < 100_000, 'it never happens');
    await setImmediate();
  }
}

/** A link to worker 7 whose heart beats when the test calls `beat`, the bare other end of it, and its stop. */
async function linked() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = new Socket().connect((server.address() as { port: number }).port, '127.0.0.1');
  const [other] = (await once(server, 'connection')) as [Socket];
  server.close();
  other.on('error', () => {});
  sockets.push(socket, other);
  let onStop!: (stop: Stop) => void;
  const stopped = new Promise<Stop>((resolve) => {
    onStop = resolve;
  });
  let beat!: () => void;
  const startHeartbeat = (onBeat: () => void, intervalMs: number): (() => void) => {
    assert.equal(intervalMs, (1000 * TIMEOUT_SECONDS) / BEATS);
    beat = onBeat;
    return () => {};
  };
  const reader = new SocketReader(socket);
  const timeoutSeconds = TIMEOUT_SECONDS;
  const link = new Link({ rank: 7, socket, reader, timeoutSeconds, onStop, startHeartbeat });
  void stopped.then((stop) => link.fail(errorFromStop(stop)));
  /** Waits until the link has received this many more bytes. */
  const receives = async (bytes: number, send: () => void): Promise<void> => {
    const wanted = reader.received + bytes;
    send();
    await until(() => reader.received >= wanted);
  };
  return { link, other, stopped, beat, receives };
}

const head = (kind: number, sequence: number, length: number): Uint8Array =>
  encodeHead({ kind, sequence, length });
const frame = (kind: number, sequence: number, body: Uint8Array, length = body.length): Uint8Array =>
  Buffer.concat([head(kind, sequence, length), body]);

interface Case {
  readonly sends: (other: Socket) => void;
  readonly code?: string;
  readonly says: RegExp;
}

const cases: Record<string, Case> = {
  'ends without a last frame': { sends: (other) => other.end(), says: /its connection ended/ },
  'ends in the middle of a frame': {
    sends: (other) => other.end(frame(KIND.gather, 0, Buffer.of(1), 4)),
    says: /its connection ended/,
  },
  'resets the connection': { sends: (other) => other.resetAndDestroy(), says: /RESET|ended/ },
  'announces a body above the maximum': {
    sends: (other) => other.write(head(KIND.gather, 0, MAX_TEXT + 1)),
    says: new RegExp(`${MAX_TEXT + 1} bytes`),
  },
  'speaks another protocol': {
    sends: (other) => other.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'),
    says: /\d+ bytes/,
  },
  'sends a body of another length': {
    sends: (other) => other.write(frame(KIND.gather, 0, Buffer.alloc(3))),
    says: /3 of exchange 0, 3 bytes, for 3 of exchange 0/,
  },
  'sends another exchange': {
    sends: (other) => other.write(frame(KIND.gather, 1, Buffer.alloc(4))),
    says: /3 of exchange 1/,
  },
  'sends an unknown kind of frame': {
    sends: (other) => other.write(frame(99, 0, Buffer.alloc(4))),
    says: /99 of exchange 0/,
  },
  'stops with a reason that cannot be read': {
    sends: (other) => other.write(frame(KIND.stop, 0, Buffer.from('{"a:'))),
    code: 'E_WORKER_STOPPED',
    says: /^worker 7: stopped$/,
  },
  'stops with an untrusted reason': {
    sends: (other) =>
      other.write(
        frame(
          KIND.stop,
          0,
          Buffer.from(
            JSON.stringify({
              rank: 2,
              exitCode: EXIT.data,
              code: 'E_\u001b[31m',
              message: `x\n${'y'.repeat(5000)}`,
              option: '--evil flag',
              where: 4,
              __proto__: null,
            }),
          ),
        ),
      ),
    code: 'E_WORKER_STOPPED',
    says: /^worker 2: x y{3998}$/,
  },
};
for (const [what, { sends, code = 'E_WORKER_LOST', says }] of Object.entries(cases)) {
  test(`a worker that ${what} fails every request with ${code}`, async () => {
    const { link, other, stopped } = await linked();
    const received = link.receive(KIND.gather, 0, 4, 4);
    const isExpected = (error: unknown): boolean => {
      assert.ok(error instanceof DataError);
      assert.equal(error.code, code);
      assert.match(error.message, says);
      assert.deepEqual([error.option, error.where], [undefined, undefined]);
      return true;
    };
    sends(other);
    await assert.rejects(received, isExpected);
    assert.equal((await stopped).exitCode, EXIT.data);
    await assert.rejects(link.send(KIND.gather, 1, [new Uint8Array(4)]), isExpected);
  });
}

test('a worker that is silent for longer than the timeout is lost; heartbeats keep it', async () => {
  const { link, other, beat, receives } = await linked();
  const received = link.receive(KIND.gather, 0, 1, 1);
  for (let round = 0; round < 3; round++) {
    for (let i = 1; i < BEATS; i++) beat();
    await receives(HEAD_BYTES, () => other.write(head(KIND.alive, 0, 0)));
    beat();
  }
  other.write(frame(KIND.gather, 0, Buffer.of(5)));
  await received;
  const silent = link.receive(KIND.gather, 1, 1, 1);
  beat();
  for (let i = 1; i < BEATS; i++) beat();
  let isPending = true;
  silent
    .catch(() => {})
    .finally(() => {
      isPending = false;
    });
  await setImmediate();
  assert.ok(isPending, 'not lost at the timeout');
  beat();
  await assert.rejects(silent, { code: 'E_WORKER_LOST', message: /no data for 2 seconds/ });
});

test('a frame that is not requested yet waits; what comes after it is seen at once', async () => {
  const { link, other, stopped, beat, receives } = await linked();
  let heard = 0;
  other.on('data', (bytes: Buffer) => {
    heard += bytes.length;
  });
  await receives(HEAD_BYTES + 2, () => other.write(frame(KIND.gather, 0, Buffer.of(1, 2))));
  for (let i = 1; i <= 2 * BEATS; i++) {
    beat();
    await until(() => heard >= i * HEAD_BYTES);
    await receives(HEAD_BYTES, () => other.write(head(KIND.alive, 0, 0)));
  }
  assert.deepEqual([...(await link.receive(KIND.gather, 0, 2, 2))], [1, 2]);
  // While this worker is inside a step it requests nothing, and must still hear that the other one stops.
  other.write(frame(KIND.gather, 1, Buffer.of(3)));
  other.write(frame(KIND.stop, 0, Buffer.from('{"code":"E_OF_IT","message":"why"}')));
  assert.equal((await stopped).code, 'E_OF_IT');
});

test('a worker that is silent behind a frame that nobody has requested is lost too', async () => {
  const { other, stopped, beat, receives } = await linked();
  await receives(HEAD_BYTES + 1, () => other.write(frame(KIND.gather, 0, Buffer.of(1))));
  beat();
  for (let i = 0; i < BEATS; i++) beat();
  assert.equal((await stopped).code, 'E_WORKER_LOST');
});
