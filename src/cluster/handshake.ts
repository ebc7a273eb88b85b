// How two workers come to know each other before anything else is said: each proves that it has the secret, without
// sending it (HMAC of the other's random number), and says which worker it is of how many. What follows is not encrypted.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { z } from 'zod';
import { UsageError } from '../util/errors.ts';
import { version } from '../util/version.ts';
import { HandshakeError, parseMessage, readMessage, writeMessage } from './message.ts';
import type { SocketReader } from './reader.ts';
import { plainText } from './stop.ts';

/** Raised when workers of the version before would misunderstand. */
const PROTOCOL = 1;
const NONCE_BYTES = 32;

const hex = z.string().regex(/^[0-9a-f]{64}$/);
const challengeSchema = z.object({ mm: z.literal('workers'), nonce: hex });
const helloSchema = z.object({
  protocol: z.int(),
  version: z.string(),
  /** One for all: numbers go over as they are. */
  processor: z.string(),
  workers: z.int(),
  rank: z.int(),
  /** Where it listens for the workers after it; 0 when there are none. */
  port: z.int().min(0).max(65535),
  nonce: hex,
});
const callSchema = z.object({ hello: z.string(), proof: hex });
const replySchema = z.object({ proof: hex.optional(), refused: z.string().optional() });

type Hello = z.output<typeof helloSchema>;
export type WorkerHello = Pick<Hello, 'workers' | 'rank' | 'port'>;

const proofOf = (secret: string, who: 'caller' | 'called', ...said: readonly string[]): string =>
  createHmac('sha256', secret)
    .update(['mm workers', who, ...said].join('\n'))
    .digest('hex');

const isSame = (a: string, b: string): boolean => timingSafeEqual(Buffer.from(a), Buffer.from(b));

const nonce = (): string => randomBytes(NONCE_BYTES).toString('hex');

const hello = (introduction: WorkerHello): Hello => ({
  protocol: PROTOCOL,
  version: version(),
  processor: process.arch,
  ...introduction,
  nonce: nonce(),
});

/** What keeps two workers with the same secret from working together, or undefined. */
function mismatch(theirs: Hello, ours: Hello): string | undefined {
  for (const [what, a, b] of [
    ['protocol', theirs.protocol, ours.protocol],
    ['mm', theirs.version, ours.version],
    ['processor', theirs.processor, ours.processor],
    ['--workers', theirs.workers, ours.workers],
  ] as const) {
    if (a !== b) return `worker ${theirs.rank} has ${what} ${plainText(String(a))}, worker ${ours.rank} ${b}`;
  }
  return undefined;
}

const FIX =
  'start all workers with the same mm, --workers and MM_WORKERS_SECRET, and each with its own --rank';

/**
 * The side that was called by `socket`.
 * @param objection what stands in the way of a worker of this rank, if anything
 * @throws Stranger when it is no worker; UsageError when it is one, with the secret, that does not fit
 */
export async function acceptHandshake(
  socket: Socket,
  reader: SocketReader,
  secret: string,
  introduction: WorkerHello,
  objection: (rank: number) => string | undefined,
): Promise<WorkerHello> {
  const ours = hello(introduction);
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
  const what = mismatch(theirs, ours) ?? objection(theirs.rank);
  if (what !== undefined) throw refuse(new UsageError(what, { where: '--join', fix: FIX }));
  writeMessage(socket, {
    proof: proofOf(secret, 'called', ours.nonce, theirs.nonce),
  } satisfies z.input<typeof replySchema>);
  return theirs;
}

/**
 * The side that calls.
 * @throws UsageError when it is refused; Stranger when no worker with the secret answers
 */
export async function sendHandshake(
  socket: Socket,
  reader: SocketReader,
  secret: string,
  introduction: WorkerHello,
): Promise<void> {
  const challenge = await readMessage(reader, challengeSchema);
  const ours = hello(introduction);
  const text = JSON.stringify(ours);
  writeMessage(socket, {
    hello: text,
    proof: proofOf(secret, 'caller', challenge.nonce, text),
  } satisfies z.input<typeof callSchema>);
  const { proof, refused } = await readMessage(reader, replySchema);
  if (refused !== undefined) throw new UsageError(plainText(refused), { where: '--join', fix: FIX });
  if (proof === undefined || !isSame(proof, proofOf(secret, 'called', challenge.nonce, ours.nonce)))
    throw new HandshakeError('what answers there does not have the secret');
}
