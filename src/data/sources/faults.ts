// Image files that cannot be used: skipped, logged once each, counted, and an error when they are most of the data.

import { DataError } from '../../util/errors.ts';
import type { Logger } from '../../util/logger.ts';
import { ImageFault } from '../image.ts';

export interface Fault {
  readonly path: string;
  readonly reason: string;
}

/** Faults logged one by one; further ones are only counted. */
const MAX_LOGGED = 10;
/** Files to try before the share of faults can be an error. */
const MIN_TRIED = 20;

export class Faults {
  readonly #log: Logger;
  readonly #faults = new Map<string, string>();
  readonly #tried = new Set<string>();
  #failed = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  get all(): readonly Fault[] {
    return [...this.#faults].map(([path, reason]) => ({ path, reason }));
  }

  /**
   * Returns the result of `decode`, or undefined when the image is at fault.
   * @throws DataError when more than half of the files tried so far are at fault
   */
  async guard<T>({ path }: { readonly path: string }, decode: () => Promise<T>): Promise<T | undefined> {
    if (this.#faults.has(path)) return undefined;
    this.#tried.add(path);
    try {
      return await decode();
    } catch (error) {
      if (!(error instanceof ImageFault)) throw error;
      if (!this.#faults.has(path)) this.#failed++;
      this.record(path, error.message);
      this.#assertFewFailed(path, error.message);
      return undefined;
    }
  }

  /** Records a file that is skipped, and logs it while there are few of them. */
  record(path: string, reason: string): void {
    if (this.#faults.has(path)) return;
    this.#faults.set(path, reason);
    const count = this.#faults.size;
    if (count <= MAX_LOGGED) this.#log.warn(`skipping ${path}: ${reason}`);
    if (count === MAX_LOGGED) this.#log.warn('further skipped files are not listed here');
  }

  #assertFewFailed(path: string, reason: string): void {
    if (this.#tried.size < MIN_TRIED || this.#failed <= this.#tried.size / 2) return;
    throw new DataError(`${this.#failed} of ${this.#tried.size} images cannot be used; the last: ${reason}`, {
      code: 'E_TOO_MANY_FAULTS',
      where: path,
      fix: 'mm data check lists the reason for each file',
    });
  }

  /** Logs the number of skipped files, when not all were logged one by one. */
  summarize(): void {
    if (this.#faults.size > MAX_LOGGED)
      this.#log.warn(`${this.#faults.size} images were skipped; mm data check lists them`);
  }
}
