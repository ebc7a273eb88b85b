// The rendezvous: all workers connect to worker 0, which sends them the addresses of the others, and each connects to
// the workers of lower rank. In the end there is a connection between any two.

import { once } from 'node:events';
import { Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import { DataError, InterruptedError, UsageError, UserError } from '../util/errors.ts';
import { type Address, formatAddress, isLoopback, resolveHost } from './address.ts';
import { sendHandshake } from './handshake.ts';
import { type Connection, RendezvousListener } from './listener.ts';
import { HandshakeError, readMessage, writeMessage } from './message.ts';
import { SocketReader } from './reader.ts';
import { decodeStop, encodeStop, errorFromStop, stopFromError } from './stop.ts';

export interface JoinOptions {
  /** 0 … workers − 1. */
  readonly rank: number;
  readonly workers: number;
  /** Where worker 0 listens; on worker 0, port 0 lets the system choose. */
  readonly address: Address;
  /** The same for all workers; may be empty for loopback addresses. */
  readonly secret: string;
  /** Time limit of the rendezvous, and later of the silence of a worker that is waited for. */
  readonly timeoutSeconds: number;
  /** Aborts the rendezvous; a reason that is a UserError is thrown. */
  readonly signal: AbortSignal;
  /** Called with the port of worker 0 when it listens. */
  readonly onListening?: (port: number) => void;
  /** Called for each refused connection. */
  readonly onRefused?: (why: string) => void;
}

const RETRY_MS = 250;
/** Further time of the workers that are not worker 0, in which it says who is missing. */
const GRACE_SECONDS = 1;

/** Message of worker 0 at the end: the address of each worker, or why the rendezvous failed, a `Stop` as JSON. */
const tableSchema = z.object({
  addresses: z.array(z.object({ host: z.string(), port: z.int().min(0).max(65535) })).optional(),
  stopped: z.string().optional(),
});

/**
 * Connects to all other workers; the connections are in no order.
 * @throws UsageError when a worker does not fit, DataError when one does not join in time, InterruptedError on abort
 */
export async function connect(options: JoinOptions): Promise<Connection[]> {
  const address = await resolveHost(options.address);
  if (options.secret === '' && !isLoopback(address.host)) {
    throw new UsageError('workers on several machines need a secret', {
      code: 'E_SECRET_MISSING',
      where: formatAddress(address),
      fix: 'set the environment variable MM_WORKERS_SECRET to the same random text for all workers',
    });
  }
  const rendezvous = new Rendezvous(options, address);
  const seconds = options.timeoutSeconds + (options.rank === 0 ? 0 : GRACE_SECONDS);
  const isLate = AbortSignal.timeout(1000 * seconds);
  const end = AbortSignal.any([options.signal, isLate]);
  try {
    const ended = new Promise<never>((_, reject) => {
      end.addEventListener('abort', () => reject(new Error('aborted')));
      if (end.aborted) reject(new Error('aborted'));
    });
    const work = options.rank === 0 ? rendezvous.host() : rendezvous.join(end);
    return await Promise.race([work, ended]);
  } catch (error) {
    const reason = toUserError(error, options, isLate.aborted ? rendezvous.timeoutMessage : undefined);
    rendezvous.abort(reason);
    throw reason;
  }
}

function toUserError(error: unknown, { signal }: JoinOptions, timeoutMessage: string | undefined): Error {
  if (signal.aborted) {
    if (signal.reason instanceof UserError) return signal.reason;
    return new InterruptedError('interrupted while waiting for the other workers', {
      code: 'E_INTERRUPTED',
      fix: 'start all workers again',
    });
  }
  if (error instanceof UserError) return error;
  return new DataError(timeoutMessage ?? (error as Error).message, {
    code:
      timeoutMessage !== undefined
        ? 'E_WORKER_MISSING'
        : error instanceof HandshakeError
          ? 'E_WORKER_REFUSED'
          : 'E_WORKER_LOST',
    option: 'join',
    fix: 'check the output of the other workers; start all of them with the same address in `join`',
    cause: error,
  });
}

class Rendezvous {
  readonly #options: JoinOptions;
  readonly #address: Address;
  /** Connections that this worker opened, after the handshake. */
  readonly #outgoing: Connection[] = [];
  readonly #sockets: Socket[] = [];
  #listener: RendezvousListener | undefined;
  /** The worker whose answer this one waits for. */
  #awaited: number | undefined;
  #isAborted = false;

  constructor(options: JoinOptions, address: Address) {
    this.#options = options;
    this.#address = address;
  }

  get timeoutMessage(): string {
    const missing = this.#awaited === undefined ? (this.#listener?.missing ?? []) : [this.#awaited];
    const workers = `worker${missing.length > 1 ? 's' : ''} ${missing.join(', ')}`;
    return `${workers} did not join in ${this.#options.timeoutSeconds} seconds`;
  }

  /** The rendezvous on worker 0. */
  async host(): Promise<Connection[]> {
    const { workers, onListening } = this.#options;
    const listener = await this.#listen(this.#address, ranksFrom(1, workers), 0);
    onListening?.(listener.port);
    const all = (await listener.ready).toSorted((a, b) => a.rank - b.rank);
    listener.close();
    const addresses = all.map(({ socket, port }) => ({ host: socket.remoteAddress ?? '', port }));
    for (const { socket } of all) writeMessage(socket, { addresses } satisfies z.input<typeof tableSchema>);
    return all;
  }

  /** The rendezvous on the other workers. */
  async join(end: AbortSignal): Promise<Connection[]> {
    const { rank, workers } = this.#options;
    this.#awaited = 0;
    const primary = await this.#dial(this.#address, 0, end);
    const expected = ranksFrom(rank + 1, workers);
    const own = { host: primary.socket.localAddress as string, port: 0 };
    const listener = expected.length > 0 ? await this.#listen(own, expected, rank) : undefined;
    await this.#greet(primary, listener?.port ?? 0);
    const { addresses = [], stopped } = await readMessage(primary.reader, tableSchema);
    if (stopped !== undefined) throw errorFromStop(decodeStop(Buffer.from(stopped), 0));
    for (const [i, { host, port }] of addresses.slice(0, rank - 1).entries()) {
      // A worker on the machine of worker 0 has a loopback address there; the others reach it at worker 0's address.
      const address = { host: isLoopback(host) ? this.#address.host : host, port };
      this.#awaited = i + 1;
      await this.#greet(await this.#dial(address, i + 1, end), 0);
    }
    this.#awaited = undefined;
    const incoming = (await listener?.ready) ?? [];
    listener?.close();
    return [...this.#outgoing, ...incoming];
  }

  /** Sends the reason to the workers that are connected, and ends all connections. */
  abort(reason: Error): void {
    this.#isAborted = true;
    // `stopped` is read by workers that have joined, `refused` by workers in the handshake.
    const stopped = Buffer.from(encodeStop(stopFromError(reason, 0))).toString();
    this.#listener?.abort({ stopped, refused: reason.message });
    for (const socket of this.#sockets) socket.destroy();
  }

  async #listen(address: Address, expected: readonly number[], rank: number): Promise<RendezvousListener> {
    const { secret, workers, onRefused = () => {} } = this.#options;
    const hello = { workers, rank, port: 0 };
    const listener = await RendezvousListener.open({ address, secret, hello, expected, onRefused });
    if (this.#isAborted) listener.close();
    this.#listener = listener;
    return listener;
  }

  /** Connects, again and again until the other side listens. */
  async #dial(address: Address, rank: number, end: AbortSignal): Promise<Connection> {
    while (!end.aborted && !this.#isAborted) {
      const socket = new Socket();
      this.#sockets.push(socket);
      const reader = new SocketReader(socket);
      socket.on('error', () => {});
      socket.on('close', () => reader.fail(new Error(`worker ${rank} closed its connection`)));
      try {
        socket.connect(address.port, address.host);
        await once(socket, 'connect');
        return { rank, socket, reader, port: address.port };
      } catch {
        socket.destroy();
        this.#sockets.pop();
        await setTimeout(RETRY_MS);
      }
    }
    throw new Error('aborted');
  }

  async #greet(connection: Connection, port: number): Promise<void> {
    const { secret, workers, rank } = this.#options;
    await sendHandshake(connection.socket, connection.reader, secret, { workers, rank, port });
    this.#outgoing.push(connection);
  }
}

/** The ranks `first` … workers − 1. */
const ranksFrom = (first: number, workers: number): number[] =>
  Array.from({ length: Math.max(0, workers - first) }, (_, i) => first + i);
