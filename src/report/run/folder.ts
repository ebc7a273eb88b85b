// The run folder: config.yaml, metrics.jsonl, events/, samples/, log.jsonl (which the logger writes) and checkpoints/
// (RunCheckpoints).

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { RunCheckpoints } from '../../checkpoint/run-checkpoints.ts';
import type { ModelKind } from '../../config/kind.ts';
import { dumpStoredConfig } from '../../config/load.ts';
import { UsageError } from '../../util/errors.ts';
import { storageError, writeFileAtomic } from '../../util/files.ts';
import { RUN_CONFIG_FILE } from './config.ts';
import { EventWriter } from './events.ts';
import { METRICS_FILE, MetricsWriter, truncateMetrics } from './metrics.ts';

export interface RunFolderOptions {
  /** Continue the run in the folder; otherwise the folder must be new or empty. */
  readonly resume: boolean;
  readonly kind: ModelKind;
  /** The resolved configuration. */
  readonly config: object;
}

export class RunFolder {
  readonly path: string;
  readonly checkpoints: RunCheckpoints;
  #metrics: MetricsWriter;
  readonly #events: EventWriter;

  private constructor(path: string) {
    this.path = path;
    this.checkpoints = new RunCheckpoints(path);
    this.#metrics = new MetricsWriter(join(path, METRICS_FILE));
    this.#events = new EventWriter(join(path, 'events'));
  }

  /**
   * Opens the run folder `path` and writes its config.yaml.
   * @throws UsageError when a new run would mix with what is in the folder, or there is no run to resume
   */
  static async open(path: string, { resume, kind, config }: RunFolderOptions): Promise<RunFolder> {
    if (resume && !(await contents(path)).includes(RUN_CONFIG_FILE)) throw noRunToResume(path);
    if (!resume) await RunFolder.assertEmpty(path);
    await writeFileAtomic(join(path, RUN_CONFIG_FILE), dumpStoredConfig(kind, config));
    if (resume) await truncateMetrics(join(path, METRICS_FILE), Number.POSITIVE_INFINITY);
    return new RunFolder(path);
  }

  /** Throws UsageError when a new run in the folder would mix with what is there. */
  static async assertEmpty(path: string): Promise<void> {
    if ((await contents(path)).length === 0) return;
    throw new UsageError('the run folder is not empty', {
      code: 'E_RUN_FOLDER_NOT_EMPTY',
      where: path,
      fix: 'name another folder, or add `resume` to continue the run in it',
    });
  }

  /** The file of the run's log, for `alsoLogTo`. */
  get logFile(): string {
    return join(this.path, LOG_FILE);
  }

  /** Appends a line to metrics.jsonl and a point to each curve; values that are not finite are kept (metrics.ts). */
  log(step: number, values: Readonly<Record<string, number>>): void {
    this.#metrics.append({ step, values });
    this.#events.scalars(step, values);
  }

  /** Adds a point to curves of times. They are in TensorBoard's events alone: metrics.jsonl has the same bytes again. */
  logTime(step: number, values: Readonly<Record<string, number>>): void {
    this.#events.scalars(step, values);
  }

  /**
   * Saves an encoded PNG as `samples/step-N.png`, or as `samples/step-N-NAME.png` for a name other than `samples`, and
   * adds it to TensorBoard's events. Returns its path.
   */
  async image(step: number, name: string, png: Uint8Array): Promise<string> {
    const suffix = name === 'samples' ? '' : `-${name}`;
    const path = join(this.path, SAMPLES_FOLDER, `step-${step}${suffix}.png`);
    await writeFileAtomic(path, png);
    this.#events.image(step, name, png);
    return path;
  }

  /** Drops what was logged after `step`, the step of the checkpoint that a run resumes from. */
  async truncateAfter(step: number): Promise<void> {
    const path = join(this.path, METRICS_FILE);
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

export const LOG_FILE = 'log.jsonl';
export const SAMPLES_FOLDER = 'samples';
/** `step-N.png` or `step-N-NAME.png` in the folder of samples. */
export const SAMPLE_FILE = /^step-(\d+)(?:-(.+))?\.png$/;

export const noRunToResume = (path: string): UsageError =>
  new UsageError('there is no run to resume', {
    code: 'E_NO_RUN_TO_RESUME',
    where: path,
    fix: 'check the folder, or leave out `resume` to start a new run',
  });

/** Names in the folder; none when it does not exist. */
async function contents(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    if (code === 'ENOTDIR') {
      throw new UsageError('the run folder is a file', {
        code: 'E_RUN_FOLDER_IS_FILE',
        where: path,
        fix: 'name another folder',
      });
    }
    throw storageError(error, path);
  }
}
