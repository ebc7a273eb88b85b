// Progress of jobs that take over two seconds: a bar on a terminal, plain lines elsewhere, nothing when quiet.

import cliProgress from 'cli-progress';

export interface Progress {
  /** Starts a task of `total` units, `done` of which are finished. */
  start(label: string, total: number, done?: number): void;
  /** Sets the number of finished units; `fields` are shown after the bar, for example { loss: '1.234' }. */
  update(done: number, fields?: Readonly<Record<string, string>>): void;
  /** Ends the task. */
  stop(): void;
  /** Prints a line above the bar. */
  note(line: string): void;
}

const PLAIN_INTERVAL_MS = 10_000;

function fieldText(fields: Readonly<Record<string, string>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name} ${value}`)
    .join('  ');
}

function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  const s = Math.round(seconds);
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${String(s % 60).padStart(2, '0')}s`;
  return `${Math.floor(s / 3600)}h${String(Math.floor((s % 3600) / 60)).padStart(2, '0')}m`;
}

abstract class TimedProgress implements Progress {
  protected label = '';
  protected total = 0;
  protected done = 0;
  #doneAtStart = 0;
  #started = 0;

  start(label: string, total: number, done = 0): void {
    this.label = label;
    this.total = total;
    this.done = done;
    this.#doneAtStart = done;
    this.#started = performance.now();
  }

  abstract update(done: number, fields?: Readonly<Record<string, string>>): void;
  abstract stop(): void;
  abstract note(line: string): void;

  protected elapsed(): number {
    return (performance.now() - this.#started) / 1000;
  }

  protected times(): string {
    const finished = this.done - this.#doneAtStart;
    const remaining = this.total - this.done;
    const left = finished > 0 ? (remaining * this.elapsed()) / finished : Number.POSITIVE_INFINITY;
    return `${duration(this.elapsed())} elapsed, ${duration(left)} left`;
  }
}

class BarProgress extends TimedProgress {
  #bar: cliProgress.SingleBar | undefined;

  override start(label: string, total: number, done = 0): void {
    super.start(label, total, done);
    this.#bar = new cliProgress.SingleBar(
      {
        format: '{label} {bar} {value}/{total}  {times}  {fields}',
        stream: process.stderr,
        hideCursor: true,
        clearOnComplete: false,
        barsize: 24,
        fps: 8,
      },
      cliProgress.Presets.shades_classic,
    );
    this.#bar.start(total, done, { label, times: '', fields: '' });
  }

  update(done: number, fields: Readonly<Record<string, string>> = {}): void {
    this.done = done;
    this.#bar?.update(done, { times: this.times(), fields: fieldText(fields) });
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  note(line: string): void {
    if (this.#bar) process.stderr.write('\r\u001b[K');
    process.stderr.write(`${line}\n`);
  }
}

class LineProgress extends TimedProgress {
  #last = 0;
  #fields = '';

  override start(label: string, total: number, done = 0): void {
    super.start(label, total, done);
    this.#last = performance.now();
    this.#fields = '';
  }

  update(done: number, fields: Readonly<Record<string, string>> = {}): void {
    this.done = done;
    this.#fields = fieldText(fields);
    if (performance.now() - this.#last < PLAIN_INTERVAL_MS) return;
    this.#last = performance.now();
    process.stderr.write(`${this.label} ${done}/${this.total}  ${this.times()}  ${this.#fields}\n`);
  }

  stop(): void {
    if (this.label === '') return;
    process.stderr.write(
      `${this.label} ${this.done}/${this.total}  ${duration(this.elapsed())}  ${this.#fields}\n`,
    );
    this.label = '';
  }

  note(line: string): void {
    process.stderr.write(`${line}\n`);
  }
}

class NoProgress implements Progress {
  start(): void {}
  update(): void {}
  stop(): void {}
  note(): void {}
}

export const SILENT: Progress = new NoProgress();

/** The progress display for standard error. */
export function createProgress(quiet: boolean): Progress {
  if (quiet) return SILENT;
  return process.stderr.isTTY ? new BarProgress() : new LineProgress();
}
