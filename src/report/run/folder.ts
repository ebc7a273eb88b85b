// The folder a training run leaves: config.yaml, metrics.jsonl, events/, samples/, and the places of log.jsonl and
// checkpoints/, which their owners write.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../util/errors.ts';
import { storageError, writeFileAtomic } from '../../util/files.ts';
import { EventWriter } from './events.ts';
import { MetricsWriter, truncateMetrics } from './metrics.ts';

export interface RunOptions {
  /** Go on with the run in the folder; otherwise the folder has to be new or empty. */
  readonly resume: boolean;
  /** The resolved configuration, as YAML. */
  readonly config: string;
}

export class RunFolder {
  readonly path: string;
  #metrics: MetricsWriter;
  readonly #events: EventWriter;

  private constructor(path: string) {
    this.path = path;
    this.#metrics = new MetricsWriter(join(path, 'metrics.jsonl'));
    this.#events = new EventWriter(join(path, 'events'));
  }

  /**
   * Opens the run folder `path` and writes its config.yaml.
   *
   * @throws UsageError when a new run would mix with what is in the folder, or there is no run to resume.
   */
  static async open(path: string, { resume, config }: RunOptions): Promise<RunFolder> {
    if (resume && !(await contents(path)).includes('config.yaml')) {
      throw new UsageError('there is no run to resume', {
        where: path,
        fix: 'check the folder, or leave out --resume to begin a new run',
      });
    }
    if (!resume) await RunFolder.refuseFilled(path);
    await writeFileAtomic(join(path, 'config.yaml'), config);
    if (resume) await truncateMetrics(join(path, 'metrics.jsonl'), Number.POSITIVE_INFINITY);
    return new RunFolder(path);
  }

  /** Throws UsageError when a new run in the folder would mix with what is there. */
  static async refuseFilled(path: string): Promise<void> {
    if ((await contents(path)).length === 0) return;
    throw new UsageError('the run folder is not empty', {
      where: path,
      fix: 'name another folder, or add --resume to go on with the run in it',
    });
  }

  /** Where checkpoints go, as `step-N/`. */
  get checkpoints(): string {
    return join(this.path, 'checkpoints');
  }

  /** Where the log of the run goes, for `createLogger`. */
  get logFile(): string {
    return join(this.path, 'log.jsonl');
  }

  /** A line of metrics.jsonl and a point on each curve; values that are not finite are kept, see metrics.ts. */
  log(step: number, values: Readonly<Record<string, number>>): void {
    this.#metrics.append({ step, values });
    this.#events.scalars(step, values);
  }

  /**
   * Saves an encoded PNG as `samples/step-N.png`, or `samples/step-N-NAME.png` when it is named other than `samples`,
   * and shows it in TensorBoard. Returns its path.
   */
  async image(step: number, name: string, png: Uint8Array): Promise<string> {
    const suffix = name === 'samples' ? '' : `-${name}`;
    const path = join(this.path, 'samples', `step-${step}${suffix}.png`);
    await writeFileAtomic(path, png);
    this.#events.image(step, name, png);
    return path;
  }

  /** Forgets what was logged past `step`, the checkpoint's that a resumed run goes on from. */
  async truncateAfter(step: number): Promise<void> {
    const path = join(this.path, 'metrics.jsonl');
    await truncateMetrics(path, step);
    this.#metrics.close();
    this.#metrics = new MetricsWriter(path);
    this.#events.restartAt(step + 1);
  }

  close(): void {
    this.#metrics.close();
    this.#events.close();
  }
}

/** Names in the folder; none when it is not there. */
async function contents(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return [];
    if (code === 'ENOTDIR')
      throw new UsageError('the run folder is a file', { where: path, fix: 'name another folder' });
    throw storageError(error, path);
  }
}
