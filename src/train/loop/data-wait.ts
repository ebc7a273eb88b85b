// The share of the time of updates that goes into waiting for their data.

interface Span {
  /** Milliseconds of waiting, and of waiting and updating together. */
  waited: number;
  whole: number;
}

const share = ({ waited, whole }: Span): number => (whole > 0 ? waited / whole : 0);

export class DataWait {
  readonly #now: () => number;
  readonly #all: Span = { waited: 0, whole: 0 };
  #recent: Span = { waited: 0, whole: 0 };
  #started = 0;
  #received = 0;

  /** @param now a clock in milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The next batch is asked for. */
  start(): void {
    this.#started = this.#now();
  }

  /** The batch is there, and its update starts. */
  received(): void {
    this.#received = this.#now();
  }

  /** The update has ended; `waited` milliseconds of it were spent on waiting for more of the batch. */
  updated(waited = 0): void {
    const whole = this.#now() - this.#started;
    for (const span of [this.#all, this.#recent]) {
      span.waited += this.#received - this.#started + waited;
      span.whole += whole;
    }
  }

  /** The share since the call before. */
  sinceLast(): number {
    const recent = share(this.#recent);
    this.#recent = { waited: 0, whole: 0 };
    return recent;
  }

  /** The share of all updates; undefined when there was none. */
  total(): number | undefined {
    return this.#all.whole > 0 ? share(this.#all) : undefined;
  }
}
