// The checkpoints of a run folder: the one place that knows `checkpoints/step-N/`.

import { existsSync, readdirSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Checkpoint } from './checkpoint.ts';
import { DamagedCheckpointError } from './state.ts';

/** Called with a sentence about each damaged checkpoint that is skipped. */
export type Warn = (message: string) => void;

export interface NewestOptions {
  /** Whether the files that only training needs are verified too. */
  readonly optimizer: boolean;
  readonly warn: Warn;
}

const STEP_FOLDER = /^step-(\d+)$/;
/** Left by an interrupted write. */
const TEMPORARY_FOLDER = /^\.step-\d+\..*\.tmp$/;

export class RunCheckpoints {
  readonly #folder: string;

  /** @param run the run folder; it need not exist */
  constructor(run: string) {
    this.#folder = join(run, 'checkpoints');
  }

  /** The folder of a step's checkpoint, whether it exists or not. */
  path(step: number): string {
    return join(this.#folder, `step-${step}`);
  }

  /** Whether the run has a checkpoint folder for any step, whole or damaged. */
  hasAny(): boolean {
    return existsSync(this.#folder) && readdirSync(this.#folder).some((name) => STEP_FOLDER.test(name));
  }

  /** Whether the run has a folder for checkpoints, empty or not: what makes a folder a run folder. */
  async exists(): Promise<boolean> {
    return (await this.#names()) !== undefined;
  }

  /** Steps that have a checkpoint folder, ascending; whether it is whole is not checked. */
  async steps(): Promise<number[]> {
    return ((await this.#names()) ?? [])
      .flatMap((name) => STEP_FOLDER.exec(name)?.slice(1).map(Number) ?? [])
      .sort((a, b) => a - b);
  }

  /** The newest whole checkpoint, verified; see `load`. */
  newest(options: NewestOptions): Promise<Checkpoint | undefined> {
    return this.load(options, async (checkpoint) => {
      await checkpoint.verify(options);
      return checkpoint;
    });
  }

  /**
   * What `load` makes of the newest checkpoint. Where that is damaged, also where `load` finds out as it reads tensors,
   * the one before it is taken, with a warning.
   * @returns undefined without a whole checkpoint
   * @throws DataError when the newest was written by a newer version of mm
   */
  async load<T>(
    { optimizer, warn }: NewestOptions,
    load: (checkpoint: Checkpoint) => Promise<T>,
  ): Promise<T | undefined> {
    for (const step of (await this.steps()).reverse()) {
      try {
        return await load(await Checkpoint.open(this.path(step), { optimizer }));
      } catch (error) {
        if (!(error instanceof DamagedCheckpointError)) throw error;
        warn(`skipping a damaged checkpoint: ${error.message} (${error.where})`);
      }
    }
    return undefined;
  }

  /**
   * Removes all but the newest `keep` checkpoints, and what interrupted writes left.
   * @param written the step just saved: later ones are damaged or of an abandoned continuation, and are removed too
   */
  async prune(keep: number, written = Number.POSITIVE_INFINITY): Promise<void> {
    const all = (await this.steps()).reverse();
    const kept = new Set(all.filter((step) => step <= written).slice(0, keep));
    const temporary = ((await this.#names()) ?? []).filter((name) => TEMPORARY_FOLDER.test(name));
    const removed = [
      ...all.filter((step) => !kept.has(step)).map((step) => this.path(step)),
      ...temporary.map((name) => join(this.#folder, name)),
    ];
    for (const path of removed) await rm(path, { recursive: true, force: true });
  }

  /** Names in the folder of checkpoints; undefined when there is no such folder. */
  async #names(): Promise<string[] | undefined> {
    return readdir(this.#folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw error;
    });
  }
}
