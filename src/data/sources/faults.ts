// Image files that cannot be used: skipped, said once each, counted, and an error when they are most of the data.

import { DataError } from '../../util/errors.ts';
import type { Logger } from '../../util/logger.ts';
import { ImageFault } from '../image.ts';

export interface Fault {
  readonly path: string;
  readonly reason: string;
}

/** Faults said one by one before they are only counted. */
const MAX_LOGGED = 10;
/** Files tried before their share of faults is judged. */
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

  /** Whether the file is known to be unusable. */
  has(path: string): boolean {
    return this.#faults.has(path);
  }

  /**
   * What `decode` gives, or undefined when the image is at fault.
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
      this.#refuseMany(path, error.message);
      return undefined;
    }
  }

  /** Remembers a file that is left out, and says so while there are few of them. */
  record(path: string, reason: string): void {
    if (this.#faults.has(path)) return;
    this.#faults.set(path, reason);
    const count = this.#faults.size;
    if (count <= MAX_LOGGED) this.#log.warn(`skipping ${path}: ${reason}`);
    if (count === MAX_LOGGED) this.#log.warn('more such files are skipped without a word');
  }

  #refuseMany(path: string, reason: string): void {
    if (this.#tried.size < MIN_TRIED || this.#failed <= this.#tried.size / 2) return;
    throw new DataError(`${this.#failed} of ${this.#tried.size} images cannot be used; the last: ${reason}`, {
      where: path,
      fix: 'mm data check lists what is wrong with each file',
    });
  }

  /** Says how many files were skipped, when that has not been said file by file. */
  summarize(): void {
    if (this.#faults.size > MAX_LOGGED)
      this.#log.warn(`${this.#faults.size} images were skipped; mm data check lists them`);
  }
}
