// The link to one other worker: sends frames, receives them on request, and detects when the other worker is lost.

import type { Socket } from 'node:net';
import { decodeHead, encodeHead, HEAD_BYTES, KIND, type Kind, MAX_TEXT } from './frame.ts';
import type { SocketReader } from './reader.ts';
import { decodeStop, encodeStop, lostStop, type Stop } from './stop.ts';

export interface LinkOptions {
  /** The other worker. */
  readonly rank: number;
  readonly socket: Socket;
  readonly reader: SocketReader;
  /** Maximum silence of the other worker. */
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

/** A frame with data, or one that is waited for. */
interface Frame {
  readonly kind: number;
  readonly sequence: number;
  readonly body: Uint8Array;
}

interface Request {
  readonly kind: Kind;
  readonly sequence: number;
  /** Of a body in bytes. */
  readonly minLength: number;
  readonly maxLength: number;
  resolve(body: Uint8Array): void;
  reject(error: Error): void;
}

/** Heartbeats in the time of a timeout. */
const BEATS_PER_TIMEOUT = 8;
/** A worker is found to be lost at most this long after the timeout. */
const MAX_BEAT_INTERVAL_MS = 500;
/** Frames that wait for their request; workers are at most a few exchanges apart. */
const MAX_WAITING = 64;
/** Time limit of the last frame. */
const CLOSE_TIMEOUT_MS = 1000;

export class Link {
  readonly rank: number;
  /** Numeric address of the other worker. */
  readonly host: string;
  readonly #options: LinkOptions;
  readonly #socket: Socket;
  readonly #reader: SocketReader;
  readonly #stopHeartbeat: () => void;
  readonly #maxSilentBeats: number;
  readonly #closed: Promise<void>;
  readonly #requests: Request[] = [];
  readonly #frames: Frame[] = [];
  #failure: Error | undefined;
  /** This end has sent its last frame. */
  #isDone = false;
  /** The other end has. */
  #hasEnded = false;
  #silentBeats = 0;
  #receivedBefore = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
    const { rank, socket, reader, timeoutSeconds, startHeartbeat = startTimer } = options;
    this.rank = rank;
    this.host = socket.remoteAddress ?? '';
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
    });
  }

  /** Receives the body of the next frame, which must be of this kind, exchange and length in bytes. */
  receive(kind: Kind, sequence: number, maxLength: number, minLength = 0): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#requests.push({ kind, sequence, minLength, maxLength, resolve, reject });
      this.#match();
    });
  }

  /** Rejects all pending and future requests with `error`. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const request of this.#requests.splice(0)) request.reject(this.#failure);
    this.#reader.fail(this.#failure);
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

  /** Ends the connection to a worker that is lost, which would not answer a last frame. */
  async abandon(): Promise<void> {
    this.#isDone = true;
    this.#stopHeartbeat();
    this.#socket.destroy();
    await this.#closed;
  }

  /** Reads frame after frame: the last one too is seen at once, however many exchanges lie before it. */
  async #receiveFrames(): Promise<void> {
    const head = new Uint8Array(HEAD_BYTES);
    for (;;) {
      await this.#reader.fill(head);
      const { kind, sequence, length } = decodeHead(head);
      if (length > MAX_TEXT) throw new Error(`it sent a message of ${length} bytes`);
      const body = new Uint8Array(length);
      await this.#reader.fill(body);
      if (kind === KIND.alive) continue;
      if (kind === KIND.stop) return this.#onStop(decodeStop(body, this.rank));
      if (kind === KIND.done) {
        this.#hasEnded = true;
        return this.#match();
      }
      if (this.#frames.push({ kind, sequence, body }) > MAX_WAITING)
        throw new Error(`it is out of step: ${MAX_WAITING} exchanges ahead`);
      this.#match();
    }
  }

  /** Gives frames to their requests. */
  #match(): void {
    while (this.#requests.length > 0 && !this.#failure) {
      const [{ kind, sequence, minLength, maxLength, resolve }] = this.#requests as [Request];
      const frame = this.#frames.shift();
      if (frame === undefined) {
        if (this.#hasEnded) this.#onStop(lostStop(this.rank, 'it ended before this one'));
        return;
      }
      const { length } = frame.body;
      const fits = length >= minLength && length <= maxLength;
      if (frame.kind !== kind || frame.sequence !== sequence || !fits) {
        const sent = `${frame.kind} of exchange ${frame.sequence}, ${length} bytes`;
        const reason = `it is out of step: ${sent}, for ${kind} of exchange ${sequence}`;
        this.#onStop(lostStop(this.rank, reason));
        return;
      }
      this.#requests.shift();
      resolve(frame.body);
    }
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
    const isSilent = this.#reader.received === this.#receivedBefore;
    this.#receivedBefore = this.#reader.received;
    this.#silentBeats = isSilent ? this.#silentBeats + 1 : 0;
    if (this.#silentBeats < this.#maxSilentBeats || this.#hasEnded) return;
    this.#onStop(lostStop(this.rank, `no data for ${this.#options.timeoutSeconds} seconds`));
  }
}
