// Writing a checkpoint folder, whole or not at all.

import { createHash } from 'node:crypto';
import { copyFile, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { dumpConfig } from '../config/load.ts';
import { writeFileAtomic, writeFolderAtomic } from '../util/files.ts';
import type { Checkpoint } from './read.ts';
import { type FileRecord, type TensorSource, writeSafetensors } from './safetensors.ts';
import {
  type CheckpointState,
  CONFIG_FILE,
  DamagedCheckpointError,
  DVAE_FOLDER,
  DVAE_STATE,
  FORMAT_VERSION,
  type ModelKind,
  PARTS,
  partFile,
  STATE_FILE,
  TOKENIZER_FILE,
} from './state.ts';
import { verifyFile } from './verify.ts';

export type Tensors = Iterable<readonly [name: string, tensor: TensorSource]>;

export interface CheckpointContents {
  readonly kind: ModelKind;
  /** Updates made. */
  readonly step: number;
  readonly seed: number;
  /** Where the data goes on; whatever its owner needs, as JSON. */
  readonly dataPosition: unknown;
  /** The last figures; those that are not finite are kept as null. */
  readonly metrics: Readonly<Record<string, number>>;
  /** The resolved configuration, kept as config.yaml. */
  readonly config: unknown;
  readonly model: Tensors;
  readonly ema?: Tensors | undefined;
  readonly optimizer?: Tensors | undefined;
  readonly compression?: Tensors | undefined;
  readonly tokenizer?: { toJSON(): object } | undefined;
  /** For DALL·E: copied into the checkpoint, without its optimizer. */
  readonly dvae?: Checkpoint | undefined;
}

async function writeText(path: string, text: string): Promise<FileRecord> {
  const bytes = Buffer.from(text, 'utf8');
  await writeFileAtomic(path, bytes);
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

const writeJson = (path: string, value: unknown): Promise<FileRecord> =>
  writeText(path, `${JSON.stringify(value, null, 2)}\n`);

/** Copies a checkpoint without its optimizer and returns the record of the new state.json. */
async function copyForUse({ path, state }: Checkpoint, to: string): Promise<FileRecord> {
  const { [partFile('optimizer')]: _optimizer, ...files } = state.files;
  await mkdir(to);
  for (const [name, record] of Object.entries(files)) {
    const target = join(to, name);
    await copyFile(join(path, name), target).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOENT') throw cause;
      throw new DamagedCheckpointError('a file of the dVAE is gone', join(path, name), cause);
    });
    await verifyFile(target, record);
    const file = await open(target, 'r+');
    await file.sync().finally(() => file.close());
  }
  return writeJson(join(to, STATE_FILE), { ...state, files } satisfies CheckpointState);
}

/**
 * Writes the checkpoint folder `path`; one that is there already is replaced when the new one is whole.
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
    files[CONFIG_FILE] = await writeText(join(folder, CONFIG_FILE), dumpConfig(config));
    if (tokenizer) files[TOKENIZER_FILE] = await writeJson(join(folder, TOKENIZER_FILE), tokenizer);
    if (dvae) files[DVAE_STATE] = await copyForUse(dvae, join(folder, DVAE_FOLDER));
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
