// Listens for the expected workers, authenticates each, and refuses all other connections.

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { UsageError, UserError } from '../util/errors.ts';
import { type Address, formatAddress } from './address.ts';
import { acceptHandshake, type WorkerHello } from './handshake.ts';
import { writeMessage } from './message.ts';
import { SocketReader } from './reader.ts';

/** A connection after the handshake. */
export interface Connection {
  /** The other worker. */
  readonly rank: number;
  readonly socket: Socket;
  readonly reader: SocketReader;
  /** Port where the other worker listens. */
  readonly port: number;
}

export interface RendezvousListenerOptions {
  readonly address: Address;
  readonly secret: string;
  readonly hello: WorkerHello;
  /** Ranks of the workers that will connect. */
  readonly expected: readonly number[];
  /** Called for each refused connection. */
  readonly onRefused: (why: string) => void;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Connections accepted in addition to the expected ones. */
const MAX_UNEXPECTED = 8;

export class RendezvousListener {
  /** Resolves when all expected workers have joined. Rejects with UsageError when one of them does not fit. */
  readonly ready: Promise<Connection[]>;
  readonly #options: RendezvousListenerOptions;
  readonly #server: Server;
  readonly #joined = new Map<number, Connection>();
  readonly #sockets = new Set<Socket>();
  #isClosed = false;
  #resolve!: (all: Connection[]) => void;
  #reject!: (error: Error) => void;

  private constructor(options: RendezvousListenerOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // `ready` may be awaited only later.
    this.ready.catch(() => {});
    server.maxConnections = options.expected.length + MAX_UNEXPECTED;
    server.on('connection', (socket) => void this.#accept(socket));
  }

  /** @throws UsageError when the port is in use or the address is not an address of this machine */
  static async open(options: RendezvousListenerOptions): Promise<RendezvousListener> {
    const { address } = options;
    const server = createServer();
    server.listen(address.port, address.host);
    try {
      await once(server, 'listening');
    } catch (cause) {
      const where = formatAddress(address);
      throw (cause as NodeJS.ErrnoException).code === 'EADDRINUSE'
        ? new UsageError('the port is in use', {
            code: 'E_PORT_IN_USE',
            where,
            fix: 'choose another port in `join`',
            cause,
          })
        : new UsageError('worker 0 cannot listen at this address', {
            code: 'E_ADDRESS',
            where,
            fix: "give an address of worker 0's machine in `join`",
            cause,
          });
    }
    return new RendezvousListener(options, server);
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** Ranks that have not joined yet. */
  get missing(): number[] {
    return this.#options.expected.filter((rank) => !this.#joined.has(rank));
  }

  /** Stops listening and ends all connections of workers that have not joined. */
  close(): void {
    this.#isClosed = true;
    this.#server.close();
    const joined = new Set([...this.#joined.values()].map(({ socket }) => socket));
    for (const socket of this.#sockets) if (!joined.has(socket)) socket.destroy();
  }

  /** Stops listening and ends all connections after a last message. */
  abort(message: object): void {
    this.#isClosed = true;
    this.#server.close();
    for (const socket of this.#sockets) {
      if (!socket.writable) continue;
      writeMessage(socket, message);
      socket.end();
      socket.resume();
    }
  }

  async #accept(socket: Socket): Promise<void> {
    const { secret, hello, onRefused } = this.#options;
    const reader = new SocketReader(socket);
    this.#sockets.add(socket);
    let reason = 'the connection was closed';
    socket.on('error', (error) => {
      reason = error.message;
    });
    socket.on('close', () => reader.fail(new Error(reason)));
    socket.setTimeout(HANDSHAKE_TIMEOUT_MS, () => socket.destroy());
    try {
      const rankObjection = (rank: number) => this.#rankObjection(rank);
      const { rank, port } = await acceptHandshake(socket, reader, { secret, hello, rankObjection });
      socket.setTimeout(0);
      this.#joined.set(rank, { rank, port, socket, reader });
      socket.on('close', () => this.#reject(new Error(`worker ${rank} closed its connection`)));
      if (this.missing.length === 0) this.#resolve([...this.#joined.values()]);
    } catch (error) {
      socket.end();
      if (this.#isClosed) return;
      if (error instanceof UserError) this.#reject(error);
      else onRefused(`${socket.remoteAddress ?? 'unknown address'}: ${(error as Error).message}`);
    }
  }

  #rankObjection(rank: number): string | undefined {
    if (this.#joined.has(rank)) return `there are two workers ${rank}`;
    return this.#options.expected.includes(rank) ? undefined : `worker ${rank} is not expected here`;
  }
}
