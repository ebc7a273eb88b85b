// Messages of the handshake: JSON with a length prefix, both bounded.

import type { Socket } from 'node:net';
import type { z } from 'zod';
import type { SocketReader } from './reader.ts';

const MAX_BYTES = 2 ** 16;
const LENGTH_BYTES = 4;

/** The other side is not a worker of this run. */
export class HandshakeError extends Error {
  constructor(what = 'it does not speak the protocol of mm workers') {
    super(what);
  }
}

export function writeMessage(socket: Socket, value: object): void {
  const body = Buffer.from(JSON.stringify(value));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(body.length);
  socket.write(Buffer.concat([length, body]));
}

/** @throws HandshakeError when the bytes are not a message of this schema */
export async function readMessage<T>(reader: SocketReader, schema: z.ZodType<T>): Promise<T> {
  const head = Buffer.alloc(LENGTH_BYTES);
  await reader.fill(head);
  const length = head.readUInt32LE();
  if (length > MAX_BYTES) throw new HandshakeError();
  const body = Buffer.alloc(length);
  await reader.fill(body);
  return parseMessage(body.toString(), schema);
}

/** @throws HandshakeError when `text` is not JSON of this schema */
export function parseMessage<T>(text: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    throw new HandshakeError();
  }
}
