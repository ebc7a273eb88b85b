// Takes exact numbers of bytes out of a socket, no faster than they are asked for.

import type { Socket } from 'node:net';

/** Bytes kept before the socket is told to wait. */
const MAX_KEPT = 2 ** 20;

export class SocketReader {
  /** Bytes that have arrived so far. */
  received = 0;
  /** Whether somebody waits for bytes that have not arrived. */
  isWaiting = false;
  readonly #socket: Socket;
  #chunks: Uint8Array[] = [];
  #kept = 0;
  #wake: (() => void) | undefined;
  #failure: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Uint8Array) => {
      this.received += chunk.length;
      this.#kept += chunk.length;
      this.#chunks.push(chunk);
      if (this.#kept >= MAX_KEPT) socket.pause();
      this.#wake?.();
    });
  }

  /** Fills `target`. Rejects with what was given to `fail` when the bytes do not come. */
  async fill(target: Uint8Array): Promise<void> {
    let at = 0;
    while (at < target.length) {
      const [chunk] = this.#chunks;
      if (chunk === undefined) {
        await this.#more();
        continue;
      }
      const taken = chunk.subarray(0, target.length - at);
      target.set(taken, at);
      at += taken.length;
      this.#kept -= taken.length;
      if (taken.length === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(taken.length);
    }
  }

  /** No more bytes will come, because of `error`. Those that have come can still be taken. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  async #more(): Promise<void> {
    if (this.#failure) throw this.#failure;
    this.isWaiting = true;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#socket.resume();
    });
    this.isWaiting = false;
    this.#wake = undefined;
  }
}
