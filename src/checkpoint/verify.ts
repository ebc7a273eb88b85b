// Verifies the files of a checkpoint folder against the lengths and checksums in its state.json.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { checkOf, type FileRecord } from './checksum.ts';
import {
  type CheckpointState,
  DamagedCheckpointError,
  DVAE_FOLDER,
  DVAE_STATE,
  readState,
  TENSOR_FILES,
  TRAINING_FILES,
} from './state.ts';

/** What is thrown where a file's bytes are others than those that were written. */
export const changed = (path: string): DamagedCheckpointError =>
  new DamagedCheckpointError('a file of the checkpoint has changed since it was written', path);

/** Checks one file's length. Throws DamagedCheckpointError. */
async function verifyLength(path: string, record: FileRecord): Promise<void> {
  const size = await stat(path).then(
    (stats) => stats.size,
    () => undefined,
  );
  if (size === undefined) throw new DamagedCheckpointError('a file of the checkpoint is missing', path);
  if (size !== record.bytes) {
    throw new DamagedCheckpointError(`a file of the checkpoint has ${size} bytes of ${record.bytes}`, path);
  }
}

/** Checks one file's length, then its checksum. Throws DamagedCheckpointError. */
export async function verifyFile(path: string, record: FileRecord): Promise<void> {
  await verifyLength(path, record);
  const check = checkOf(record);
  for await (const bytes of createReadStream(path, { highWaterMark: 2 ** 20 })) check.update(bytes);
  if (!check.matches()) throw changed(path);
}

/**
 * Reads the state of the checkpoint in `folder` and verifies its files, including a DALL·E checkpoint's dVAE: of those
 * that hold tensors the lengths alone, as `Checkpoint` verifies their checksums where they are read.
 * @param optimizer whether to verify the files that only training needs; without it they may be missing
 * @throws DamagedCheckpointError naming the file; DataError when a newer version of mm wrote it
 */
export async function verifyFolder(
  folder: string,
  { optimizer }: { readonly optimizer: boolean },
): Promise<CheckpointState> {
  const state = await readState(folder);
  for (const [name, record] of Object.entries(state.files)) {
    const verify = TENSOR_FILES.includes(name) ? verifyLength : verifyFile;
    if (optimizer || !TRAINING_FILES.includes(name)) await verify(join(folder, name), record);
  }
  if (Object.hasOwn(state.files, DVAE_STATE)) {
    await verifyFolder(join(folder, DVAE_FOLDER), { optimizer: false });
  }
  return state;
}
