// A module that runs in a separate process and is called by messages.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** How much of what a worker prints is kept for the error that says how it ended. */
const KEPT = 4000;

export class Worker {
  readonly #name: string;
  readonly #child: ChildProcess;
  #printed = '';

  constructor(name: string, module: URL, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
    this.#name = name;
    this.#child = fork(fileURLToPath(module), args, {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2', ...env },
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#printed = (this.#printed + chunk.toString()).slice(-KEPT);
    });
  }

  send(message: object): void {
    this.#child.send(message, () => {}); // what is wrong, `receive` says
  }

  /** The next message. Throws when the worker ends without one. */
  receive<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      const ended = (code: number | null, signal: string | null): void =>
        reject(new Error(`${this.#name} ended with ${signal ?? `code ${code}`}:\n${this.#printed}`));
      const { exitCode, signalCode } = this.#child;
      if (exitCode !== null || signalCode !== null) {
        ended(exitCode, signalCode);
        return;
      }
      this.#child.once('close', ended);
      this.#child.once('message', (message) => {
        this.#child.off('close', ended);
        resolve(message as T);
      });
    });
  }

  /** Lets the worker end; one that listens for messages ends when they can come no more. */
  release(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  /** Lets the worker end, and waits for it. */
  async end(): Promise<void> {
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.release();
    await ended;
  }
}
