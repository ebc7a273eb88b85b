// The connection to one other worker: frames out, frames in as they are asked for, and a watch over its life.

import type { Socket } from 'node:net';
import { decodeHead, encodeHead, HEAD_BYTES, KIND, type Kind, MAX_BYTES, MAX_TEXT } from './frame.ts';
import type { SocketReader } from './reader.ts';
import { decodeStop, encodeStop, lostStop, type Stop } from './stop.ts';

export interface LinkOptions {
  /** The other worker's. */
  readonly rank: number;
  readonly socket: Socket;
  readonly reader: SocketReader;
  /** How long it may say nothing while something of it is waited for. */
  readonly timeoutSeconds: number;
  /** Called once at most, when it stops or is lost. */
  readonly onStop: (stop: Stop, from: Link) => void;
}

interface Request {
  readonly kind: Kind;
  readonly sequence: number;
  /** Where a body of the length of `bytes` goes, or of any length up to `most`. */
  readonly body: { readonly bytes: readonly Uint8Array[] } | { readonly most: number };
  resolve(body: Uint8Array | undefined): void;
  reject(error: Error): void;
}

/** A sign of life goes out every so many parts of the timeout, and at least every few seconds. */
const BEATS = 8;
const SLOWEST_BEAT_MS = 5000;
/** How long goodbyes may take. */
const LAST_WORDS_MS = 3000;

export class Link {
  readonly rank: number;
  readonly #options: LinkOptions;
  readonly #socket: Socket;
  readonly #reader: SocketReader;
  readonly #beat: NodeJS.Timeout;
  readonly #beatsAllowed: number;
  readonly #closed: Promise<void>;
  readonly #requests: Request[] = [];
  #wake: (() => void) | undefined;
  #failure: Error | undefined;
  #isDone = false;
  #silentBeats = 0;
  #receivedBefore = 0;
  /** Bytes written so far, heads included. */
  sent = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
    const { rank, socket, reader, timeoutSeconds } = options;
    this.rank = rank;
    this.#socket = socket;
    this.#reader = reader;
    const interval = Math.min(SLOWEST_BEAT_MS, (1000 * timeoutSeconds) / BEATS);
    this.#beatsAllowed = Math.ceil((1000 * timeoutSeconds) / interval);
    this.#beat = setInterval(() => this.#onBeat(), interval);
    this.#beat.unref();
    socket.setNoDelay(true);
    socket.setKeepAlive(true);
    let how = 'its connection ended';
    socket.on('error', (error) => {
      how = error.message;
    });
    this.#closed = new Promise((resolve) => {
      const onClose = (): void => {
        clearInterval(this.#beat);
        reader.fail(new Error(how));
        resolve();
      };
      // The other may have said all it has to say while this one was still being let in elsewhere.
      if (socket.closed) onClose();
      else socket.once('close', onClose);
    });
    // 'end' comes before 'close', and at once where the other process dies.
    socket.on('end', () => reader.fail(new Error(how)));
    this.#listen().catch((error: Error) => {
      if (!this.#isDone) this.#stopped(lostStop(rank, error.message));
    });
  }

  /** Sends a frame; fulfilled when the system has taken it over: until then the body must not change. */
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
        this.#stopped(lostStop(this.rank, error.message));
        reject(this.#failure ?? error);
      });
      this.#socket.uncork();
      this.sent += HEAD_BYTES + length;
    });
  }

  /** Receives a frame of this kind and just the length of `bytes` into them. */
  async receive(kind: Kind, sequence: number, bytes: readonly Uint8Array[]): Promise<void> {
    await this.#request(kind, sequence, { bytes });
  }

  /** Receives a frame of this kind, of `most` bytes at most. */
  async receiveUpTo(kind: Kind, sequence: number, most: number): Promise<Uint8Array> {
    return (await this.#request(kind, sequence, { most })) as Uint8Array;
  }

  /** Whatever is waited for fails with `error`, here and from now on. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const request of this.#requests.splice(0)) request.reject(this.#failure);
    this.#reader.fail(this.#failure);
    this.#wake?.();
  }

  /** Ends the connection after telling why: because all is done, or because of `stop`. */
  async close(stop?: Stop): Promise<void> {
    this.#isDone = true;
    clearInterval(this.#beat);
    const body = stop ? encodeStop(stop).subarray(0, MAX_TEXT) : new Uint8Array();
    const head = encodeHead({ kind: stop ? KIND.stop : KIND.done, sequence: 0, length: body.length });
    if (this.#socket.writable) {
      this.#socket.cork();
      this.#socket.write(head);
      this.#socket.end(body);
    }
    this.#socket.resume();
    const late = setTimeout(() => this.#socket.destroy(), LAST_WORDS_MS);
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

  /** Takes frame after frame; one that carries something waits here until somebody asks for it. */
  async #listen(): Promise<void> {
    const head = new Uint8Array(HEAD_BYTES);
    for (;;) {
      await this.#reader.fill(head);
      const { kind, sequence, length } = decodeHead(head);
      if (length > MAX_BYTES) throw new Error(`it sent a message of ${length} bytes`);
      if (kind === KIND.done) return await this.#left();
      if (kind === KIND.stop) {
        const text = await this.#take(Math.min(length, MAX_TEXT));
        return this.#stopped(decodeStop(text, this.rank));
      }
      if (kind === KIND.alive) {
        await this.#take(length);
        continue;
      }
      const request = await this.#asked();
      if (request === undefined) return;
      const { body } = request;
      const fits =
        'most' in body
          ? length <= body.most
          : length === body.bytes.reduce((sum, bytes) => sum + bytes.byteLength, 0);
      if (kind !== request.kind || sequence !== request.sequence || !fits) {
        const wanted = `${request.kind} of exchange ${request.sequence}`;
        throw new Error(`it is out of step: ${kind} of exchange ${sequence}, ${length} bytes, for ${wanted}`);
      }
      if ('most' in body) request.resolve(await this.#take(length));
      else {
        for (const bytes of body.bytes) await this.#reader.fill(bytes);
        request.resolve(undefined);
      }
      this.#requests.shift();
    }
  }

  async #take(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    await this.#reader.fill(bytes);
    return bytes;
  }

  /** The request that is first in line, still in it; undefined after a failure. */
  async #asked(): Promise<Request | undefined> {
    while (this.#requests.length === 0 && !this.#failure && !this.#isDone) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    return this.#failure ? undefined : this.#requests[0];
  }

  /** The other has all it needs. Whoever waits for more of it waits for nothing. */
  async #left(): Promise<void> {
    if ((await this.#asked()) !== undefined) throw new Error('it ended before this one');
  }

  #stopped(stop: Stop): void {
    if (this.#failure || this.#isDone) return;
    this.#options.onStop(stop, this);
  }

  #onBeat(): void {
    if (this.#socket.writableLength === 0 && this.#socket.writable && !this.#failure) {
      this.#socket.write(encodeHead({ kind: KIND.alive, sequence: 0, length: 0 }));
    }
    // Beats are counted, not seconds: a worker that was itself at a long task has heard nothing, and may still hear it.
    const isSilent = this.#reader.isWaiting && this.#reader.received === this.#receivedBefore;
    this.#receivedBefore = this.#reader.received;
    this.#silentBeats = isSilent ? this.#silentBeats + 1 : 0;
    if (this.#silentBeats <= this.#beatsAllowed) return;
    this.#stopped(lostStop(this.rank, `it said nothing for ${this.#options.timeoutSeconds} seconds`));
  }
}
