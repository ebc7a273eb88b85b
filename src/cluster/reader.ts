// Reads exact numbers of bytes from a socket, with backpressure.

import type { Socket } from 'node:net';

/** Buffered bytes at which the socket is paused. */
const MAX_BUFFERED = 2 ** 20;

export class SocketReader {
  /** Bytes received so far. */
  received = 0;
  readonly #socket: Socket;
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  #wake: (() => void) | undefined;
  #failure: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Uint8Array) => {
      this.received += chunk.length;
      this.#buffered += chunk.length;
      this.#chunks.push(chunk);
      if (this.#buffered >= MAX_BUFFERED) socket.pause();
      this.#wake?.();
    });
  }

  /** Fills `target`. @throws the error given to `fail` when the bytes do not arrive */
  async fill(target: Uint8Array): Promise<void> {
    let at = 0;
    while (at < target.length) {
      const [chunk] = this.#chunks;
      if (chunk === undefined) {
        await this.#waitForData();
        continue;
      }
      const taken = chunk.subarray(0, target.length - at);
      target.set(taken, at);
      at += taken.length;
      this.#buffered -= taken.length;
      if (taken.length === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(taken.length);
    }
  }

  /** Ends the stream with `error`. Bytes received before can still be read. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  async #waitForData(): Promise<void> {
    if (this.#failure) throw this.#failure;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#socket.resume();
    });
    this.#wake = undefined;
  }
}
