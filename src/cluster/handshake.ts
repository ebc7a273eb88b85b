// The handshake of two workers. Each proves that it has the secret without sending it (an HMAC of the other's nonce),
// and says which worker it is, of how many. The data after it is not encrypted.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { z } from 'zod';
import { UsageError } from '../util/errors.ts';
import { version } from '../util/version.ts';
import { HandshakeError, parseMessage, readMessage, writeMessage } from './message.ts';
import type { SocketReader } from './reader.ts';
import { plainText } from './stop.ts';

/** Version of the messages between workers; raised when workers of the previous version would misread them. */
const PROTOCOL = 4;
const NONCE_BYTES = 32;

const hex = z.string().regex(/^[0-9a-f]{64}$/);
const challengeSchema = z.object({ mm: z.literal('workers'), nonce: hex });
const helloSchema = z.object({
  protocol: z.int(),
  version: z.string(),
  /** Must be the same for all: numbers are sent in the machine's byte order. */
  processor: z.string(),
  workers: z.int(),
  rank: z.int(),
  /** Port where it listens for the workers of higher rank; 0 when there are none. */
  port: z.int().min(0).max(65535),
  nonce: hex,
});
const callSchema = z.object({ hello: z.string(), proof: hex });
const replySchema = z.object({ proof: hex.optional(), refused: z.string().optional() });

type Hello = z.output<typeof helloSchema>;

/** The part of the hello that differs between workers. */
export type WorkerHello = Pick<Hello, 'workers' | 'rank' | 'port'>;

const proofOf = (secret: string, who: 'caller' | 'called', ...messages: readonly string[]): string =>
  createHmac('sha256', secret)
    .update(['mm workers', who, ...messages].join('\n'))
    .digest('hex');

const isSame = (a: string, b: string): boolean => timingSafeEqual(Buffer.from(a), Buffer.from(b));

const nonce = (): string => randomBytes(NONCE_BYTES).toString('hex');

const fullHello = (hello: WorkerHello): Hello => ({
  protocol: PROTOCOL,
  version: version(),
  processor: process.arch,
  ...hello,
  nonce: nonce(),
});

/** The first difference that keeps two workers from training together, or undefined. */
function mismatch(theirs: Hello, ours: Hello): string | undefined {
  for (const [what, a, b] of [
    ['protocol', theirs.protocol, ours.protocol],
    ['mm', theirs.version, ours.version],
    ['processor', theirs.processor, ours.processor],
    ['`workers`', theirs.workers, ours.workers],
  ] as const) {
    if (a !== b) return `worker ${theirs.rank} has ${what} ${plainText(String(a))}, worker ${ours.rank} ${b}`;
  }
  return undefined;
}

const refusal = (message: string): UsageError =>
  new UsageError(message, {
    code: 'E_WORKER_REFUSED',
    option: 'join',
    fix: 'start all workers with the same mm, `workers` and MM_WORKERS_SECRET, and each with its own `rank`',
  });

export interface AcceptOptions {
  readonly secret: string;
  readonly hello: WorkerHello;
  /** Returns the reason to refuse a worker of this rank, or undefined. */
  readonly rankObjection: (rank: number) => string | undefined;
}

/**
 * The called side of the handshake.
 * @throws HandshakeError when the caller is not a worker with the secret; UsageError when it is, but does not fit
 */
export async function acceptHandshake(
  socket: Socket,
  reader: SocketReader,
  { secret, hello, rankObjection }: AcceptOptions,
): Promise<WorkerHello> {
  const ours = fullHello(hello);
  const refuse = <E extends Error>(error: E): E => {
    writeMessage(socket, { refused: error.message } satisfies z.input<typeof replySchema>);
    return error;
  };
  writeMessage(socket, { mm: 'workers', nonce: ours.nonce } satisfies z.input<typeof challengeSchema>);
  const call = await readMessage(reader, callSchema);
  if (!isSame(call.proof, proofOf(secret, 'caller', ours.nonce, call.hello))) {
    throw refuse(new HandshakeError('the secrets differ: MM_WORKERS_SECRET'));
  }
  const theirs = parseMessage(call.hello, helloSchema);
  const reason = mismatch(theirs, ours) ?? rankObjection(theirs.rank);
  if (reason !== undefined) throw refuse(refusal(reason));
  writeMessage(socket, {
    proof: proofOf(secret, 'called', ours.nonce, theirs.nonce),
  } satisfies z.input<typeof replySchema>);
  return theirs;
}

/**
 * The calling side of the handshake.
 * @throws UsageError when the other side refuses; HandshakeError when it is not a worker with the secret
 */
export async function sendHandshake(
  socket: Socket,
  reader: SocketReader,
  secret: string,
  hello: WorkerHello,
): Promise<void> {
  const challenge = await readMessage(reader, challengeSchema);
  const ours = fullHello(hello);
  const text = JSON.stringify(ours);
  writeMessage(socket, {
    hello: text,
    proof: proofOf(secret, 'caller', challenge.nonce, text),
  } satisfies z.input<typeof callSchema>);
  const { proof, refused } = await readMessage(reader, replySchema);
  if (refused !== undefined) throw refusal(plainText(refused));
  if (proof === undefined || !isSame(proof, proofOf(secret, 'called', challenge.nonce, ours.nonce)))
    throw new HandshakeError('the process at this address does not have the secret');
}
