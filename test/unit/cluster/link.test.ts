// A connection whose other end is no worker in good health.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import { after, test } from 'node:test';
import { encodeHead, HEAD_BYTES, KIND, MAX_BYTES } from '../../../src/cluster/frame.ts';
import { Link } from '../../../src/cluster/link.ts';
import { SocketReader } from '../../../src/cluster/reader.ts';
import { errorFromStop, type Stop } from '../../../src/cluster/stop.ts';
import { DataError, EXIT } from '../../../src/util/errors.ts';

const sockets: Socket[] = [];
after(() => {
  for (const socket of sockets) socket.destroy();
});

/** A link to worker 7, the bare other end of it, and what the link says when it stops. */
async function linked(timeoutSeconds = 10) {
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
  const reader = new SocketReader(socket);
  const link = new Link({ rank: 7, socket, reader, timeoutSeconds, onStop });
  void stopped.then((stop) => link.fail(errorFromStop(stop)));
  return { link, other, stopped };
}

const head = (kind: number, sequence: number, length: number): Uint8Array =>
  encodeHead({ kind, sequence, length });

const cases: Record<string, { sends: (other: Socket) => void; says: RegExp }> = {
  'ends without a word': { sends: (other) => other.end(), says: /it was lost: its connection ended/ },
  'ends in the middle of a frame': {
    sends: (other) => other.end(Buffer.concat([head(KIND.gather, 0, 4), Buffer.of(1)])),
    says: /it was lost: its connection ended/,
  },
  'breaks down': { sends: (other) => other.resetAndDestroy(), says: /it was lost: .*(RESET|ended)/ },
  'claims a body beyond all bounds': {
    sends: (other) => other.write(head(KIND.gather, 0, MAX_BYTES + 1)),
    says: /it was lost: it sent a message of \d+ bytes/,
  },
  'speaks another language': {
    sends: (other) => other.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'),
    says: /it was lost: it sent a message of \d+ bytes/,
  },
  'sends another length': {
    sends: (other) => other.write(Buffer.concat([head(KIND.gather, 0, 3), Buffer.alloc(3)])),
    says: /out of step: 5 of exchange 0, 3 bytes, for 5 of exchange 0/,
  },
  'sends another exchange': {
    sends: (other) => other.write(Buffer.concat([head(KIND.gather, 1, 4), Buffer.alloc(4)])),
    says: /out of step: 5 of exchange 1/,
  },
  'sends a kind that there is not': {
    sends: (other) => other.write(Buffer.concat([head(99, 0, 4), Buffer.alloc(4)])),
    says: /out of step: 99 of/,
  },
  'stops for no reason that can be read': {
    sends: (other) => other.write(Buffer.concat([head(KIND.stop, 0, 4), Buffer.from('{"a:')])),
    says: /worker 7: stopped$/,
  },
  'stops with more than a reason': {
    sends: (other) => {
      const text = Buffer.from(
        JSON.stringify({
          rank: 2,
          exitCode: EXIT.data,
          message: `x\n${'y'.repeat(5000)}`,
          where: 4,
          __proto__: null,
        }),
      );
      other.write(Buffer.concat([head(KIND.stop, 0, text.length), text]));
    },
    says: /^DataError: worker 2: x y{3998}$/,
  },
};
for (const [what, { sends, says }] of Object.entries(cases)) {
  test(`a worker that ${what}`, async () => {
    const { link, other, stopped } = await linked();
    const received = link.receive(KIND.gather, 0, [new Uint8Array(4)]);
    sends(other);
    await assert.rejects(received, (error: Error) => {
      assert.ok(error instanceof DataError);
      assert.match(String(error), says);
      return true;
    });
    assert.equal((await stopped).exitCode, EXIT.data);
    await assert.rejects(link.send(KIND.gather, 1, [new Uint8Array(4)]), says);
  });
}

test('a worker that says nothing for too long is lost; one that gives signs of life is not', async () => {
  const { link, other } = await linked(0.3);
  const received = link.receive(KIND.gather, 0, [new Uint8Array(1)]);
  for (let beat = 0; beat < 10; beat++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    other.write(head(KIND.alive, 0, 0));
  }
  other.write(Buffer.concat([head(KIND.gather, 0, 1), Buffer.of(5)]));
  await received;
  await assert.rejects(
    link.receive(KIND.gather, 1, [new Uint8Array(1)]),
    /worker 7: it was lost: it said nothing for 0.3 seconds/,
  );
});

test('what was sent before it is asked for waits, however long, and gives signs of life meanwhile', async () => {
  const { link, other } = await linked(0.2);
  let heard = 0;
  other.on('data', (bytes: Buffer) => {
    heard += bytes.length;
  });
  other.write(Buffer.concat([head(KIND.gather, 0, 2), Buffer.of(1, 2)]));
  await new Promise((resolve) => setTimeout(resolve, 600));
  const bytes = [new Uint8Array(1), new Uint8Array(1)];
  await link.receive(KIND.gather, 0, bytes);
  assert.deepEqual(bytes, [Uint8Array.of(1), Uint8Array.of(2)]);
  assert.ok(heard >= 3 * HEAD_BYTES, `${heard} bytes`);
});
