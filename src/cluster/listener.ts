// Where workers knock: takes in the ones that are awaited, and turns everybody else away.

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { UsageError, UserError } from '../util/errors.ts';
import { type Address, formatAddress } from './address.ts';
import { acceptHandshake, type WorkerHello } from './handshake.ts';
import { writeMessage } from './message.ts';
import { SocketReader } from './reader.ts';

/** A connection on which both sides know each other. */
export interface Connection {
  readonly rank: number;
  readonly socket: Socket;
  readonly reader: SocketReader;
  /** Where that worker listens. */
  readonly port: number;
}

export interface RendezvousListenerOptions {
  readonly address: Address;
  readonly secret: string;
  readonly hello: WorkerHello;
  /** Ranks of the workers that will come. */
  readonly awaited: readonly number[];
  readonly onRefused: (why: string) => void;
}

/** Of a handshake; they are short. */
const HANDSHAKE_MS = 10_000;
/** Callers there may be besides those that are awaited. */
const MAX_UNEXPECTED = 8;

export class RendezvousListener {
  /** All that are awaited, when they have come. Rejects with UsageError when one of them does not fit. */
  readonly ready: Promise<Connection[]>;
  readonly #options: RendezvousListenerOptions;
  readonly #server: Server;
  readonly #inside = new Map<number, Connection>();
  readonly #sockets = new Set<Socket>();
  #isClosed = false;
  #finish!: (all: Connection[]) => void;
  #fail!: (error: Error) => void;

  private constructor(options: RendezvousListenerOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    this.ready = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
    // Whoever opened the door may be busy elsewhere when it fails.
    this.ready.catch(() => {});
    server.maxConnections = options.awaited.length + MAX_UNEXPECTED;
    server.on('connection', (socket) => void this.#receive(socket));
  }

  /** @throws UsageError when the address is taken or not this machine's */
  static async open(options: RendezvousListenerOptions): Promise<RendezvousListener> {
    const { address } = options;
    const server = createServer();
    server.listen(address.port, address.host);
    try {
      await once(server, 'listening');
    } catch (cause) {
      const taken = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE';
      throw new UsageError(taken ? 'the port is in use' : `worker 0 cannot listen there`, {
        where: formatAddress(address),
        fix: taken
          ? 'choose another port for --join'
          : 'give an address of the machine of worker 0 to --join',
        cause,
      });
    }
    return new RendezvousListener(options, server);
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** Ranks that have not come yet. */
  get missing(): number[] {
    return this.#options.awaited.filter((rank) => !this.#inside.has(rank));
  }

  /** Nobody is let in any more, and whoever is still at the door is sent away. */
  close(): void {
    this.#isClosed = true;
    this.#server.close();
    const inside = new Set([...this.#inside.values()].map(({ socket }) => socket));
    for (const socket of this.#sockets) if (!inside.has(socket)) socket.destroy();
  }

  /** Sends everybody away with a last word. */
  abort(word: object): void {
    this.#isClosed = true;
    this.#server.close();
    for (const socket of this.#sockets) {
      if (!socket.writable) continue;
      writeMessage(socket, word);
      socket.end();
      socket.resume();
    }
  }

  async #receive(socket: Socket): Promise<void> {
    const { secret, hello: introduction, onRefused } = this.#options;
    const reader = new SocketReader(socket);
    this.#sockets.add(socket);
    let how = 'it went away';
    socket.on('error', (error) => {
      how = error.message;
    });
    socket.on('close', () => reader.fail(new Error(how)));
    socket.setTimeout(HANDSHAKE_MS, () => socket.destroy());
    try {
      const { rank, port } = await acceptHandshake(socket, reader, secret, introduction, (rank) =>
        this.#objection(rank),
      );
      socket.setTimeout(0);
      this.#inside.set(rank, { rank, port, socket, reader });
      socket.on('close', () => this.#fail(new Error(`worker ${rank} went away`)));
      if (this.missing.length === 0) this.#finish([...this.#inside.values()]);
    } catch (error) {
      socket.end();
      if (this.#isClosed) return;
      if (error instanceof UserError) this.#fail(error);
      else onRefused(`${socket.remoteAddress ?? 'somebody'}: ${(error as Error).message}`);
    }
  }

  #objection(rank: number): string | undefined {
    if (this.#inside.has(rank)) return `there are two workers ${rank}`;
    return this.#options.awaited.includes(rank) ? undefined : `no worker ${rank} is awaited`;
  }
}
