// Opening a checkpoint: found, of the right kind, verified; tensors are read when asked for.

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../util/errors.ts';
import type { TensorData } from './dtype.ts';
import { widen } from './half.ts';
import { findLatest, isRunFolder, type Warn } from './latest.ts';
import { type Expected, matchTensors } from './match.ts';
import { SafetensorsFile } from './safetensors.ts';
import {
  type CheckpointState,
  CONFIG_FILE,
  DamagedCheckpointError,
  DVAE_FOLDER,
  DVAE_STATE,
  type FileName,
  type ModelKind,
  type Part,
  partFile,
  readState,
  TOKENIZER_FILE,
} from './state.ts';
import { verifyCheckpoint } from './verify.ts';

/** A verified checkpoint folder. */
export class Checkpoint {
  readonly path: string;
  readonly state: CheckpointState;

  constructor(path: string, state: CheckpointState) {
    this.path = path;
    this.state = state;
  }

  has(part: Part): boolean {
    return Object.hasOwn(this.state.files, partFile(part));
  }

  /** The weights to look at results with: the average where there is one. */
  get bestPart(): Part {
    return this.has('ema') ? 'ema' : 'model';
  }

  /** The resolved configuration; `loadConfig` reads it. */
  get configFile(): string {
    return join(this.path, CONFIG_FILE);
  }

  get tokenizerFile(): string {
    return this.#carried(TOKENIZER_FILE, 'tokenizer', TOKENIZER_FILE);
  }

  /** The dVAE that a DALL·E checkpoint carries. */
  async dvae(): Promise<Checkpoint> {
    const path = this.#carried(DVAE_STATE, 'dVAE', DVAE_FOLDER);
    return new Checkpoint(path, await readState(path));
  }

  /** The names of the tensors of a part, in the order of the file. Throws DataError when the part is missing. */
  async names(part: Part): Promise<readonly string[]> {
    const file = await SafetensorsFile.open(this.#carried(partFile(part), part, partFile(part)));
    await file.close();
    return file.names;
  }

  /**
   * The tensors of a part one by one, 16-bit floats widened; with `expected`, first checked to be just those.
   * @throws DataError when they do not fit, or the part is missing
   */
  async *tensors(part: Part, expected?: Expected): AsyncGenerator<[name: string, tensor: TensorData]> {
    const file = await SafetensorsFile.open(this.#carried(partFile(part), part, partFile(part)));
    try {
      const infos = new Map(file.names.map((name) => [name, file.info(name)]));
      if (expected !== undefined) matchTensors(infos, expected, file.path);
      for (const name of file.names) yield [name, widen(await file.read(name))];
    } finally {
      await file.close();
    }
  }

  /** All tensors of a part, by name; see `tensors`. */
  async read(part: Part, expected?: Expected): Promise<Map<string, TensorData>> {
    const all = new Map<string, TensorData>();
    for await (const [name, tensor] of this.tensors(part, expected)) all.set(name, tensor);
    return all;
  }

  #carried(file: FileName, what: string, name: string): string {
    if (Object.hasOwn(this.state.files, file)) return join(this.path, name);
    throw new DataError(`the checkpoint has no ${what}`, { where: this.path, fix: 'use one that has' });
  }
}

export interface ReadOptions {
  /** The model it must be of. */
  readonly kind: ModelKind;
  /** Whether the optimizer's state is needed, to go on training; its file is verified only then. */
  readonly optimizer?: boolean;
  /** Told of damaged checkpoints that are passed over in a run folder. */
  readonly warn: Warn;
}

async function find(path: string, optimizer: boolean, warn: Warn): Promise<Checkpoint> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats?.isDirectory()) {
    throw new DataError(
      stats ? 'a checkpoint is a folder, and this is a file' : 'there is no such checkpoint',
      {
        where: path,
        fix: 'name a folder RUN/checkpoints/step-N, or the folder of the run for its newest',
      },
    );
  }
  if (!(await isRunFolder(path))) return new Checkpoint(path, await verifyCheckpoint(path, optimizer));
  const latest = await findLatest(path, optimizer, warn);
  if (latest) return new Checkpoint(latest.path, latest.state);
  throw new DataError('the run has no whole checkpoint', {
    where: path,
    fix: 'let the run reach its first checkpoint (train.saveEvery), or train again',
  });
}

/**
 * Opens the checkpoint folder `path`, or the newest whole checkpoint of the run folder `path`.
 * @throws DataError saying which file is missing or damaged, or of which kind the checkpoint is
 */
export async function readCheckpoint(
  path: string,
  { kind, optimizer = false, warn }: ReadOptions,
): Promise<Checkpoint> {
  const checkpoint = await find(path, optimizer, warn);
  if (checkpoint.state.kind !== kind) {
    throw new DataError(`a ${checkpoint.state.kind} checkpoint, where one of a ${kind} is needed`, {
      where: checkpoint.path,
      fix: `name one that mm train-${kind} wrote`,
    });
  }
  if (optimizer && !checkpoint.has('optimizer')) {
    throw new DamagedCheckpointError('the checkpoint has no optimizer state to go on from', checkpoint.path);
  }
  return checkpoint;
}

/** Identifies the weights (and their average) by content: equal wherever the checkpoint was copied to. */
export function hashOf({ state }: Checkpoint): string {
  const hash = createHash('sha256');
  for (const part of ['model', 'ema'] as const) hash.update(`${state.files[partFile(part)]?.sha256}\n`);
  return hash.digest('hex');
}
