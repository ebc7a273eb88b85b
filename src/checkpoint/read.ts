// Finding and opening a checkpoint by a path of the user: a checkpoint folder, or a run folder for its newest.

import { stat } from 'node:fs/promises';
import type { ModelKind } from '../config/kind.ts';
import { DataError } from '../util/errors.ts';
import { Checkpoint } from './checkpoint.ts';
import { RunCheckpoints, type Warn } from './run-checkpoints.ts';
import { DamagedCheckpointError } from './state.ts';

export interface CheckpointReadOptions {
  /** The kind that the checkpoint must be of; any without it. */
  readonly kind?: ModelKind;
  /** Whether the optimizer's state is needed, to continue training; its file is verified only then. */
  readonly optimizer?: boolean;
  /** Called for each damaged checkpoint of a run folder that is skipped. */
  readonly warn: Warn;
}

/**
 * Opens the checkpoint folder `path`, or the newest whole checkpoint of the run folder `path`, and verifies its files.
 * @throws DataError naming the file that is missing or damaged, or the kind of the checkpoint when it is another
 */
export function readCheckpoint(path: string, options: CheckpointReadOptions): Promise<Checkpoint> {
  const { optimizer = false } = options;
  return loadCheckpoint(path, options, async (checkpoint) => {
    await checkpoint.verify({ optimizer });
    return checkpoint;
  });
}

/**
 * Opens the checkpoint folder `path`, or the newest whole checkpoint of the run folder `path`, and has `load` read it:
 * its tensors are verified as they are read, in one pass over their files. Where a checkpoint of a run turns out to be
 * damaged, `load` is called again, with the one before it.
 * @throws DataError as `readCheckpoint` does
 */
export function loadCheckpoint<T>(
  path: string,
  { kind, optimizer = false, warn }: CheckpointReadOptions,
  load: (checkpoint: Checkpoint) => Promise<T>,
): Promise<T> {
  return find(path, optimizer, warn, async (checkpoint) => {
    if (kind !== undefined) assertTrainable(checkpoint, kind, optimizer);
    return load(checkpoint);
  });
}

/**
 * Checks the kind of a checkpoint, and that it has an optimizer where one is needed.
 * @throws DataError
 */
export function assertTrainable(checkpoint: Checkpoint, kind: ModelKind, optimizer: boolean): void {
  if (checkpoint.state.kind !== kind) {
    throw new DataError(`a ${checkpoint.state.kind} checkpoint, where one of a ${kind} is needed`, {
      code: 'E_CHECKPOINT_KIND',
      where: checkpoint.path,
      fix: `name one that mm train-${kind} wrote`,
    });
  }
  if (optimizer && !checkpoint.has('optimizer')) {
    throw new DamagedCheckpointError('the checkpoint has no optimizer state to resume from', checkpoint.path);
  }
}

async function find<T>(
  path: string,
  optimizer: boolean,
  warn: Warn,
  load: (checkpoint: Checkpoint) => Promise<T>,
): Promise<T> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats?.isDirectory()) {
    throw new DataError(
      stats ? 'a checkpoint is a folder, and this is a file' : 'there is no such checkpoint',
      {
        code: stats ? 'E_CHECKPOINT_IS_FILE' : 'E_CHECKPOINT_NOT_FOUND',
        where: path,
        fix:
          'name a folder RUN/checkpoints/step-N, or the folder of the run for its newest checkpoint; ' +
          'mm convert makes one of the weights of other programs',
      },
    );
  }
  const checkpoints = new RunCheckpoints(path);
  if (!(await checkpoints.exists())) return load(await Checkpoint.open(path, { optimizer }));
  const newest = await checkpoints.load({ optimizer, warn }, async (checkpoint) => ({
    loaded: await load(checkpoint),
  }));
  if (newest) return newest.loaded;
  throw new DataError('the run has no whole checkpoint', {
    code: 'E_NO_CHECKPOINT',
    where: path,
    fix: 'let the run reach its first checkpoint (train.saveEvery), or train again',
  });
}
