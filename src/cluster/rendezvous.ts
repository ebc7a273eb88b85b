// How the workers find each other: all call worker 0, which tells them where the others listen, and each calls those
// before it. In the end there is a connection between any two.

import { once } from 'node:events';
import { Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import { DataError, InterruptedError, UsageError, UserError } from '../util/errors.ts';
import { type Address, formatAddress, isLoopback, resolveHost } from './address.ts';
import { sendHandshake } from './handshake.ts';
import { type Connection, RendezvousListener } from './listener.ts';
import { readMessage, writeMessage } from './message.ts';
import { SocketReader } from './reader.ts';
import { plainText } from './stop.ts';

export interface JoinOptions {
  /** 0 … workers − 1. */
  readonly rank: number;
  readonly workers: number;
  /** Where worker 0 listens; for itself, port 0 lets the system choose. */
  readonly address: Address;
  /** The same for all workers; may be empty where the address does not leave the machine. */
  readonly secret: string;
  /** How long to wait for the others, and later how long one of them may be silent. */
  readonly timeoutSeconds: number;
  /** Stops the waiting; its reason is thrown when it is an error for users. */
  readonly signal: AbortSignal;
  /** Told where worker 0 listens as soon as it does. */
  readonly onListening?: (port: number) => void;
  /** Told of callers that were turned away. */
  readonly onRefused?: (why: string) => void;
}

const RETRY_MS = 250;

/** What worker 0 says when all have come: where each listens, or why it comes to nothing. */
const tableSchema = z.object({
  addresses: z.array(z.object({ host: z.string(), port: z.int().min(0).max(65535) })).optional(),
  stopped: z.string().optional(),
});

/** Connections to all other workers, in no order. Throws UsageError, DataError, InterruptedError. */
export async function connect(options: JoinOptions): Promise<Connection[]> {
  const address = await resolveHost(options.address);
  if (options.secret === '' && !isLoopback(address.host)) {
    throw new UsageError('workers on several machines need a secret', {
      where: formatAddress(address),
      fix: 'set the environment variable MM_WORKERS_SECRET to the same random text for all workers',
    });
  }
  const meeting = new Rendezvous(options, address);
  const isLate = AbortSignal.timeout(1000 * options.timeoutSeconds);
  const end = AbortSignal.any([options.signal, isLate]);
  try {
    const ended = new Promise<never>((_, reject) => {
      end.addEventListener('abort', () => reject(new Error('it is over')));
      if (end.aborted) reject(new Error('it is over'));
    });
    const work = options.rank === 0 ? meeting.host() : meeting.join(end);
    return await Promise.race([work, ended]);
  } catch (error) {
    const reason = explain(error, options, isLate.aborted ? meeting.waitingFor : undefined);
    meeting.breakUp(reason);
    throw reason;
  }
}

function explain(error: unknown, { signal }: JoinOptions, waitingFor: string | undefined): Error {
  if (signal.aborted) {
    if (signal.reason instanceof UserError) return signal.reason;
    return new InterruptedError('stopped while waiting for the other workers', {
      fix: 'start them all again',
    });
  }
  if (error instanceof UserError) return error;
  return new DataError(waitingFor ?? (error as Error).message, {
    where: '--join',
    fix: 'look at what the other workers print; start all of them, with the same --join address',
    cause: error,
  });
}

class Rendezvous {
  readonly #options: JoinOptions;
  readonly #address: Address;
  readonly #called: Connection[] = [];
  readonly #sockets: Socket[] = [];
  #door: RendezvousListener | undefined;
  #isOver = false;

  constructor(options: JoinOptions, address: Address) {
    this.#options = options;
    this.#address = address;
  }

  get waitingFor(): string {
    const { rank, timeoutSeconds } = this.#options;
    const missing = this.#door?.missing ?? [];
    if (rank === 0)
      return `worker${missing.length > 1 ? 's' : ''} ${missing.join(', ')} did not join in ${timeoutSeconds} seconds`;
    return `the workers did not come together in ${timeoutSeconds} seconds`;
  }

  async host(): Promise<Connection[]> {
    const { workers, onListening } = this.#options;
    const door = await this.#open(this.#address, others(1, workers), 0);
    onListening?.(door.port);
    const all = (await door.ready).toSorted((a, b) => a.rank - b.rank);
    door.close();
    const addresses = all.map(({ socket, port }) => ({ host: socket.remoteAddress ?? '', port }));
    for (const { socket } of all) writeMessage(socket, { addresses } satisfies z.input<typeof tableSchema>);
    return all;
  }

  async join(end: AbortSignal): Promise<Connection[]> {
    const { rank, workers } = this.#options;
    const first = await this.#call(this.#address, 0, end);
    const awaited = others(rank + 1, workers);
    const own = { host: first.socket.localAddress as string, port: 0 };
    const door = awaited.length > 0 ? await this.#open(own, awaited, rank) : undefined;
    await this.#introduce(first, door?.port ?? 0);
    const { addresses = [], stopped } = await readMessage(first.reader, tableSchema);
    if (stopped !== undefined) throw new UsageError(`worker 0: ${plainText(stopped)}`, { where: '--join' });
    for (const [i, { host, port }] of addresses.slice(0, rank - 1).entries()) {
      // Who called worker 0 from its own machine is there for everybody else, too.
      const address = { host: isLoopback(host) ? this.#address.host : host, port };
      await this.#introduce(await this.#call(address, i + 1, end), 0);
    }
    const later = (await door?.ready) ?? [];
    door?.close();
    return [...this.#called, ...later];
  }

  /** Tells those who have come why it comes to nothing, and ends all connections. */
  breakUp(reason: Error): void {
    this.#isOver = true;
    // Heard as either by those inside and those still at the door.
    this.#door?.abort({ stopped: reason.message, refused: reason.message });
    for (const socket of this.#sockets) socket.destroy();
  }

  async #open(address: Address, awaited: readonly number[], rank: number): Promise<RendezvousListener> {
    const { secret, workers, onRefused = () => {} } = this.#options;
    const introduction = { workers, rank, port: 0 };
    const door = await RendezvousListener.open({ address, secret, hello: introduction, awaited, onRefused });
    if (this.#isOver) door.close();
    this.#door = door;
    return door;
  }

  /** Calls until somebody answers. */
  async #call(address: Address, rank: number, end: AbortSignal): Promise<Connection> {
    while (!end.aborted && !this.#isOver) {
      const socket = new Socket();
      this.#sockets.push(socket);
      const reader = new SocketReader(socket);
      socket.on('error', () => {});
      socket.on('close', () => reader.fail(new Error(`worker ${rank} went away`)));
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
    throw new Error('it is over');
  }

  async #introduce(connection: Connection, port: number): Promise<void> {
    const { secret, workers, rank } = this.#options;
    await sendHandshake(connection.socket, connection.reader, secret, { workers, rank, port });
    this.#called.push(connection);
  }
}

/** The ranks from `first` on. */
const others = (first: number, workers: number): number[] =>
  Array.from({ length: Math.max(0, workers - first) }, (_, i) => first + i);
