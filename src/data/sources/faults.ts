// What reading a data set finds: files that cannot be used and parts that are left out, counted by kind, said with an
// example of each at the start and at the end of a run, and an error when they are too much of the data.

import { DataError } from '../../util/errors.ts';
import type { Logger } from '../../util/logger.ts';
import { printable } from '../../util/printable.ts';
import { ImageFault } from '../image.ts';
import { type FindingKind, findingText, isFault, REASONS } from './fault-kinds.ts';

export interface Fault {
  readonly path: string;
  readonly reason: string;
}

export interface Finding {
  readonly kind: FindingKind;
  /** The file, the member of an archive, or the row. */
  readonly where: string;
  /** What is the matter, where the kind does not say it all. */
  readonly reason?: string;
}

/** How often a kind was found, and where at first. */
export interface FindingCount {
  readonly kind: FindingKind;
  readonly count: number;
  /** The first ones, at most `MAX_EXAMPLES`. */
  readonly examples: readonly Finding[];
}

/** Examples kept of each kind. */
const MAX_EXAMPLES = 1000;
/** Paths kept of images that were tried, and of faults; beyond it, one that is tried again counts again. */
const MAX_PATHS = 1_000_000;
/** Files to try before the share of faults can be an error. */
const MIN_TRIED = 20;
/** The share without `maxBad`: most of the data at fault is another data set, or another disk. */
const DEFAULT_MAX_BAD = 0.5;

export interface FaultOptions {
  /** Largest share of the data that may be at fault, 0 to 1. */
  readonly maxBad?: number | undefined;
}

export class Faults {
  readonly #log: Logger | undefined;
  readonly #maxBad: number | undefined;
  readonly #faults = new Map<string, string>();
  readonly #kinds = new Map<FindingKind, { count: number; reported: number; examples: Finding[] }>();
  readonly #triedPaths = new Set<string>();
  #tried = 0;
  /** Faults of images that were tried, and those found by reading the source. */
  #failed = 0;
  #last: [path: string, reason: string] = ['', ''];
  #found = 0;
  /** Images that the sources hold, the ones left out not included. */
  #listed = 0;

  constructor(log?: Logger, { maxBad }: FaultOptions = {}) {
    this.#log = log;
    this.#maxBad = maxBad;
  }

  /** The images at fault. */
  get all(): readonly Fault[] {
    return [...this.#faults].map(([path, reason]) => ({ path, reason }));
  }

  /** All findings, by kind, in the order in which the kinds were found. */
  get counts(): readonly FindingCount[] {
    return [...this.#kinds].map(([kind, { count, examples }]) => ({ kind, count, examples }));
  }

  count(kind: FindingKind): number {
    return this.#kinds.get(kind)?.count ?? 0;
  }

  /** Why an image is at fault; undefined when it is not. */
  reason(path: string): string | undefined {
    return this.#faults.get(path);
  }

  /**
   * Returns the result of `decode`, or undefined when the image is at fault.
   * @throws DataError when too many are at fault: more than `maxBad` of the data, or half of what was tried so far
   */
  async guard<T>({ path }: { readonly path: string }, decode: () => Promise<T>): Promise<T | undefined> {
    if (this.#faults.has(path)) return undefined;
    if (!this.#triedPaths.has(path)) this.#tried++;
    if (this.#triedPaths.size < MAX_PATHS) this.#triedPaths.add(path);
    try {
      return await decode();
    } catch (error) {
      if (!(error instanceof ImageFault)) throw error;
      if (this.#faults.has(path)) return undefined;
      this.#failed++;
      const isFirst = this.count(error.kind) === 0;
      this.#record({ kind: error.kind, where: path, reason: error.message }, true);
      if (isFirst) {
        this.#log?.warn(printable(`skipping ${path}: ${error.message}`));
        (this.#kinds.get(error.kind) as { reported: number }).reported = 1;
      }
      this.#assertFewFailed(path, error.message);
      return undefined;
    }
  }

  /** Records a finding; a fault of an image is recorded once. */
  record(finding: Finding): void {
    this.#record(finding, this.#triedPaths.has(finding.where));
  }

  #record(finding: Finding, isTried: boolean): void {
    const { kind, where, reason } = finding;
    if (isFault(kind)) {
      if (this.#faults.has(where)) return;
      this.#last = [where, reason ?? REASONS[kind] ?? ''];
      if (this.#faults.size < MAX_PATHS) this.#faults.set(...this.#last);
      if (!isTried) this.#found++;
    }
    const seen = this.#kinds.get(kind) ?? { count: 0, reported: 0, examples: [] };
    this.#kinds.set(kind, seen);
    seen.count++;
    if (seen.examples.length < MAX_EXAMPLES) seen.examples.push(finding);
  }

  /**
   * Says what reading a source found, once, a line for each kind.
   * @param listed the images that were read
   * @throws DataError when more than `maxBad` of it cannot be used
   */
  report(listed: number): void {
    this.#listed += listed;
    this.#say(false);
    if (this.#maxBad !== undefined && this.#found > this.#maxBad * (this.#listed + this.#found)) {
      throw this.#tooMany(this.#found, this.#listed + this.#found, this.#last);
    }
  }

  /** Says at the end of a run what was left out in all: a line for each kind. */
  summarize(): void {
    if (this.#failed === 0 && this.#found === 0) return;
    this.#say(true);
  }

  /** A line for each kind: of those found since the last report, faults as warnings; or of all faults. */
  #say(isSummary: boolean): void {
    for (const [kind, seen] of this.#kinds) {
      const { count, reported, examples } = seen;
      seen.reported = count;
      if (isSummary ? !isFault(kind) : count === reported) continue;
      const [{ where, reason }] = examples as [Finding];
      const more = reason === undefined ? '' : `: ${reason}`;
      const example = printable(`${where}${more}`);
      const line = `${isSummary ? 'left out in all: ' : ''}${count} ${findingText(kind, count)}, such as ${example}`;
      this.#log?.[isFault(kind) ? 'warn' : 'info'](line);
    }
  }

  #assertFewFailed(path: string, reason: string): void {
    const tried = this.#tried;
    if (tried >= MIN_TRIED && this.#failed > tried * DEFAULT_MAX_BAD)
      throw this.#tooMany(this.#failed, tried, [path, reason]);
    if (this.#maxBad === undefined) return;
    const total = Math.max(this.#listed, tried) + this.#found;
    const bad = this.#failed + this.#found;
    if (bad > this.#maxBad * total) throw this.#tooMany(bad, total, [path, reason]);
  }

  #tooMany(bad: number, total: number, [path, reason]: readonly [string, string]): DataError {
    const share =
      this.#maxBad === undefined ? '' : `, more than ${Number((100 * this.#maxBad).toFixed(4))} %`;
    return new DataError(`${bad} of ${total} images cannot be used${share}; the last: ${reason}`, {
      code: 'E_TOO_MANY_FAULTS',
      where: path,
      fix: `mm data check lists the reason for each file${share && '; `maxBad` allows more of them'}`,
    });
  }
}
