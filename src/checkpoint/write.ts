// Writing a checkpoint folder, whole or not at all.

import { createHash } from 'node:crypto';
import { copyFile, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ModelKind } from '../config/kind.ts';
import { dumpStoredConfig } from '../config/load.ts';
import { writeFileAtomic, writeFolderAtomic } from '../util/files.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { FileRecord } from './checksum.ts';
import { type TensorSource, writeSafetensors } from './safetensors.ts';
import {
  type CheckpointState,
  CONFIG_FILE,
  DamagedCheckpointError,
  DVAE_FOLDER,
  DVAE_STATE,
  type FileName,
  FORMAT_VERSION,
  PARTS,
  partFile,
  STATE_FILE,
  TOKENIZER_FILE,
  TRAINING_FILES,
} from './state.ts';
import { verifyFile } from './verify.ts';

export type TensorSources = Iterable<readonly [name: string, tensor: TensorSource]>;

export interface CheckpointContents {
  readonly kind: ModelKind;
  /** Updates made. */
  readonly step: number;
  readonly seed: number;
  /** Position in the data after the last update, as JSON. */
  readonly dataPosition: unknown;
  /** The last validation metrics; values that are not finite are written as null. */
  readonly metrics: Readonly<Record<string, number>>;
  /** The resolved configuration, written as config.yaml. */
  readonly config: object;
  readonly model: TensorSources;
  readonly ema?: TensorSources | undefined;
  readonly optimizer?: TensorSources | undefined;
  readonly compression?: TensorSources | undefined;
  /** Tensors of a converted file that the model has no place for, by their names there; mm export writes them again. */
  readonly external?: TensorSources | undefined;
  readonly tokenizer?: { toJSON(): object } | undefined;
  /** The dVAE of a DALL·E checkpoint: copied into it, without its optimizer. */
  readonly dvae?: Checkpoint | undefined;
}

async function writeText(path: string, text: string): Promise<FileRecord> {
  const bytes = Buffer.from(text, 'utf8');
  await writeFileAtomic(path, bytes);
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

const writeJson = (path: string, value: unknown): Promise<FileRecord> =>
  writeText(path, `${JSON.stringify(value, null, 2)}\n`);

/** Copies a checkpoint without its training files, in this format, and returns the record of the new state.json. */
async function copyForInference(checkpoint: Checkpoint, to: string): Promise<FileRecord> {
  const { path, state } = checkpoint;
  const files: CheckpointState['files'] = {};
  await mkdir(to);
  for (const [name, record] of Object.entries(state.files)) {
    if (TRAINING_FILES.includes(name)) continue;
    const target = join(to, name);
    await copyFile(join(path, name), target).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOENT') throw cause;
      throw new DamagedCheckpointError('a file of the dVAE is gone', join(path, name), cause);
    });
    await verifyFile(target, record);
    const file = await open(target, 'r+');
    await file.sync().finally(() => file.close());
    files[name as FileName] = record;
  }
  if (state.version < FORMAT_VERSION) {
    const text = dumpStoredConfig(state.kind, checkpoint.config(z.record(z.string(), z.unknown())));
    files[CONFIG_FILE] = await writeText(join(to, CONFIG_FILE), text);
  }
  return writeJson(join(to, STATE_FILE), {
    ...state,
    version: FORMAT_VERSION,
    files,
  } satisfies CheckpointState);
}

/**
 * Writes the checkpoint folder `path`; an existing one is replaced when the new one is whole.
 * @throws DataError when the disk is full or read-only, or the dVAE's files have changed
 */
export async function writeCheckpoint(path: string, contents: CheckpointContents): Promise<void> {
  const { kind, step, seed, dataPosition, metrics, config, tokenizer, dvae } = contents;
  await writeFolderAtomic(path, async (folder) => {
    const files: CheckpointState['files'] = {};
    for (const part of PARTS) {
      const tensors = contents[part];
      if (tensors === undefined) continue;
      const file = partFile(part);
      files[file] = await writeSafetensors(join(folder, file), tensors, { format: 'mm', part });
    }
    files[CONFIG_FILE] = await writeText(join(folder, CONFIG_FILE), dumpStoredConfig(kind, config));
    if (tokenizer) files[TOKENIZER_FILE] = await writeJson(join(folder, TOKENIZER_FILE), tokenizer);
    if (dvae) files[DVAE_STATE] = await copyForInference(dvae, join(folder, DVAE_FOLDER));
    await writeJson(join(folder, STATE_FILE), {
      format: 'mm-checkpoint',
      version: FORMAT_VERSION,
      kind,
      step,
      seed,
      dataPosition: dataPosition as CheckpointState['dataPosition'],
      metrics: Object.fromEntries(
        Object.entries(metrics).map(([name, value]) => [name, Number.isFinite(value) ? value : null]),
      ),
      files,
    } satisfies CheckpointState);
  });
}
