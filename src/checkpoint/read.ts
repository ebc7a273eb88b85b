// Finding and opening a checkpoint by a path of the user: a checkpoint folder, or a run folder for its newest.

import { stat } from 'node:fs/promises';
import type { ModelKind } from '../config/kind.ts';
import { DataError } from '../util/errors.ts';
import { Checkpoint } from './checkpoint.ts';
import { RunCheckpoints, type Warn } from './run-checkpoints.ts';
import { DamagedCheckpointError } from './state.ts';
import { verifyCheckpoint } from './verify.ts';

export interface CheckpointReadOptions {
  /** The kind that the checkpoint must be of; any without it. */
  readonly kind?: ModelKind;
  /** Whether the optimizer's state is needed, to continue training; its file is verified only then. */
  readonly optimizer?: boolean;
  /** Called for each damaged checkpoint of a run folder that is skipped. */
  readonly warn: Warn;
}

/**
 * Opens the checkpoint folder `path`, or the newest whole checkpoint of the run folder `path`.
 * @throws DataError naming the file that is missing or damaged, or the kind of the checkpoint when it is another
 */
export async function readCheckpoint(
  path: string,
  { kind, optimizer = false, warn }: CheckpointReadOptions,
): Promise<Checkpoint> {
  const checkpoint = await find(path, optimizer, warn);
  if (kind !== undefined) assertTrainable(checkpoint, kind, optimizer);
  return checkpoint;
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

async function find(path: string, optimizer: boolean, warn: Warn): Promise<Checkpoint> {
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
  if (!(await checkpoints.exists())) return new Checkpoint(path, await verifyCheckpoint(path, { optimizer }));
  const newest = await checkpoints.newest({ optimizer, warn });
  if (newest) return newest;
  throw new DataError('the run has no whole checkpoint', {
    code: 'E_NO_CHECKPOINT',
    where: path,
    fix: 'let the run reach its first checkpoint (train.saveEvery), or train again',
  });
}
