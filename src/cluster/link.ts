// The link to one other worker: sends frames, receives them on request, and detects when the other worker is lost.

import type { Socket } from 'node:net';
import { decodeHead, encodeHead, HEAD_BYTES, KIND, type Kind, MAX_BYTES, MAX_TEXT } from './frame.ts';
import type { SocketReader } from './reader.ts';
import { decodeStop, encodeStop, lostStop, type Stop } from './stop.ts';

export interface LinkOptions {
  /** The other worker. */
  readonly rank: number;
  readonly socket: Socket;
  readonly reader: SocketReader;
  /** Maximum silence of the other worker while a frame of it is waited for. */
  readonly timeoutSeconds: number;
  /** Called once at most, when the other worker stops or is lost. */
  readonly onStop: (stop: Stop, from: Link) => void;
  /** Calls `onBeat` at this interval, and returns a function that ends it; by default a timer. */
  readonly startHeartbeat?: (onBeat: () => void, intervalMs: number) => () => void;
}

function startTimer(onBeat: () => void, intervalMs: number): () => void {
  const timer = setInterval(onBeat, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}

interface Request {
  readonly kind: Kind;
  readonly sequence: number;
  /** The buffers for a body of exactly their length, or the maximum length of a body. */
  readonly body: { readonly bytes: readonly Uint8Array[] } | { readonly maxLength: number };
  resolve(body: Uint8Array | undefined): void;
  reject(error: Error): void;
}

/** Heartbeats in the time of a timeout. */
const BEATS_PER_TIMEOUT = 8;
const MAX_BEAT_INTERVAL_MS = 5000;
/** Time limit of the last frame. */
const CLOSE_TIMEOUT_MS = 3000;

export class Link {
  readonly rank: number;
  readonly #options: LinkOptions;
  readonly #socket: Socket;
  readonly #reader: SocketReader;
  readonly #stopHeartbeat: () => void;
  readonly #maxSilentBeats: number;
  readonly #closed: Promise<void>;
  readonly #requests: Request[] = [];
  #wake: (() => void) | undefined;
  #failure: Error | undefined;
  #isDone = false;
  #silentBeats = 0;
  #receivedBefore = 0;
  /** Bytes sent so far, heads included. */
  sent = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
    const { rank, socket, reader, timeoutSeconds, startHeartbeat = startTimer } = options;
    this.rank = rank;
    this.#socket = socket;
    this.#reader = reader;
    const interval = Math.min(MAX_BEAT_INTERVAL_MS, (1000 * timeoutSeconds) / BEATS_PER_TIMEOUT);
    this.#maxSilentBeats = Math.ceil((1000 * timeoutSeconds) / interval);
    this.#stopHeartbeat = startHeartbeat(() => this.#onBeat(), interval);
    socket.setNoDelay(true);
    socket.setKeepAlive(true);
    let reason = 'its connection ended';
    socket.on('error', (error) => {
      reason = error.message;
    });
    this.#closed = new Promise((resolve) => {
      const onClose = (): void => {
        this.#stopHeartbeat();
        reader.fail(new Error(reason));
        resolve();
      };
      // The other worker may have ended while this one was still in the rendezvous.
      if (socket.closed) onClose();
      else socket.once('close', onClose);
    });
    // 'end' comes before 'close', and immediately when the other process dies.
    socket.on('end', () => reader.fail(new Error(reason)));
    this.#receiveFrames().catch((error: Error) => {
      if (!this.#isDone) this.#onStop(lostStop(rank, error.message));
    });
  }

  /** Sends a frame. Resolves when the operating system has the bytes; until then the body must not change. */
  send(kind: Kind, sequence: number, body: readonly Uint8Array[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const length = body.reduce((sum, { byteLength }) => sum + byteLength, 0);
      const parts = [encodeHead({ kind, sequence, length }), ...body];
      const last = parts.pop() as Uint8Array;
      this.#socket.cork();
      for (const part of parts) this.#socket.write(part);
      this.#socket.write(last, (error) => {
        if (!error) return resolve();
        this.#onStop(lostStop(this.rank, error.message));
        reject(this.#failure ?? error);
      });
      this.#socket.uncork();
      this.sent += HEAD_BYTES + length;
    });
  }

  /** Receives a frame of this kind, whose body has exactly the length of `bytes`, into them. */
  async receive(kind: Kind, sequence: number, bytes: readonly Uint8Array[]): Promise<void> {
    await this.#request(kind, sequence, { bytes });
  }

  /** Receives a frame of this kind with a body of `maxLength` bytes at most. */
  async receiveUpTo(kind: Kind, sequence: number, maxLength: number): Promise<Uint8Array> {
    return (await this.#request(kind, sequence, { maxLength })) as Uint8Array;
  }

  /** Rejects all pending and future requests with `error`. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const request of this.#requests.splice(0)) request.reject(this.#failure);
    this.#reader.fail(this.#failure);
    this.#wake?.();
  }

  /** Ends the connection after a last frame: `stop`, or `done` without one. */
  async close(stop?: Stop): Promise<void> {
    this.#isDone = true;
    this.#stopHeartbeat();
    const body = stop ? encodeStop(stop).subarray(0, MAX_TEXT) : new Uint8Array();
    const head = encodeHead({ kind: stop ? KIND.stop : KIND.done, sequence: 0, length: body.length });
    if (this.#socket.writable) {
      this.#socket.cork();
      this.#socket.write(head);
      this.#socket.end(body);
    }
    this.#socket.resume();
    const late = setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS);
    await this.#closed;
    clearTimeout(late);
  }

  #request(kind: Kind, sequence: number, body: Request['body']): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#requests.push({ kind, sequence, body, resolve, reject });
      this.#wake?.();
    });
  }

  /** Reads frame after frame. A frame with data waits in the socket until it is requested. */
  async #receiveFrames(): Promise<void> {
    const head = new Uint8Array(HEAD_BYTES);
    for (;;) {
      await this.#reader.fill(head);
      const { kind, sequence, length } = decodeHead(head);
      if (length > MAX_BYTES) throw new Error(`it sent a message of ${length} bytes`);
      if (kind === KIND.done) return await this.#onDone();
      if (kind === KIND.stop) {
        const text = await this.#read(Math.min(length, MAX_TEXT));
        return this.#onStop(decodeStop(text, this.rank));
      }
      if (kind === KIND.alive) {
        await this.#read(length);
        continue;
      }
      const request = await this.#nextRequest();
      if (request === undefined) return;
      const { body } = request;
      const fits =
        'maxLength' in body
          ? length <= body.maxLength
          : length === body.bytes.reduce((sum, bytes) => sum + bytes.byteLength, 0);
      if (kind !== request.kind || sequence !== request.sequence || !fits) {
        const wanted = `${request.kind} of exchange ${request.sequence}`;
        throw new Error(`it is out of step: ${kind} of exchange ${sequence}, ${length} bytes, for ${wanted}`);
      }
      if ('maxLength' in body) request.resolve(await this.#read(length));
      else {
        for (const bytes of body.bytes) await this.#reader.fill(bytes);
        request.resolve(undefined);
      }
      this.#requests.shift();
    }
  }

  async #read(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    await this.#reader.fill(bytes);
    return bytes;
  }

  /** Waits for the first request and returns it without removing it; undefined after a failure. */
  async #nextRequest(): Promise<Request | undefined> {
    while (this.#requests.length === 0 && !this.#failure && !this.#isDone) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    return this.#failure ? undefined : this.#requests[0];
  }

  /** The other worker is done: a request that is still pending will never be served. */
  async #onDone(): Promise<void> {
    if ((await this.#nextRequest()) !== undefined) throw new Error('it ended before this one');
  }

  #onStop(stop: Stop): void {
    if (this.#failure || this.#isDone) return;
    this.#options.onStop(stop, this);
  }

  #onBeat(): void {
    if (this.#socket.writableLength === 0 && this.#socket.writable && !this.#failure) {
      this.#socket.write(encodeHead({ kind: KIND.alive, sequence: 0, length: 0 }));
    }
    // Counts beats, not seconds: a worker that was busy has not read its socket, whose buffer may hold heartbeats.
    const isSilent = this.#reader.isWaiting && this.#reader.received === this.#receivedBefore;
    this.#receivedBefore = this.#reader.received;
    this.#silentBeats = isSilent ? this.#silentBeats + 1 : 0;
    if (this.#silentBeats <= this.#maxSilentBeats) return;
    this.#onStop(lostStop(this.rank, `no data for ${this.#options.timeoutSeconds} seconds`));
  }
}
