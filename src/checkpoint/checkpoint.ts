// An opened checkpoint folder: its state, its configuration, and its tensors, which are read on demand.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { z } from 'zod';
import { loadConfig } from '../config/load.ts';
import { DataError } from '../util/errors.ts';
import type { TensorData } from './dtype.ts';
import { widen } from './half.ts';
import { type Expected, matchTensors } from './match.ts';
import { type Allocate, SafetensorsFile } from './safetensors.ts';
import {
  type CheckpointState,
  CONFIG_FILE,
  DVAE_FOLDER,
  DVAE_STATE,
  type FileName,
  type Part,
  partFile,
  readState,
  TOKENIZER_FILE,
} from './state.ts';

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

  /** The weights to evaluate and sample with: the EMA where there is one. */
  get bestPart(): Part {
    return this.has('ema') ? 'ema' : 'model';
  }

  /** The file of the resolved configuration; `config` reads it. */
  get configFile(): string {
    return join(this.path, CONFIG_FILE);
  }

  /**
   * The resolved configuration, in the keys of this version.
   * @throws UsageError when it does not fit the schema
   */
  config<S extends z.ZodType>(schema: S): z.output<S> {
    return loadConfig(schema, { file: this.configFile, storedAs: this.state.kind });
  }

  get tokenizerFile(): string {
    return this.#fileOf(TOKENIZER_FILE, 'tokenizer', TOKENIZER_FILE);
  }

  /** The dVAE inside a DALL·E checkpoint. */
  async dvae(): Promise<Checkpoint> {
    const path = this.#fileOf(DVAE_STATE, 'dVAE', DVAE_FOLDER);
    return new Checkpoint(path, await readState(path));
  }

  /** The names of the tensors of a part, in the order of the file. Throws DataError when the part is missing. */
  async names(part: Part): Promise<readonly string[]> {
    const file = await this.file(part);
    await file.close();
    return file.names;
  }

  /**
   * The tensors of a part one by one, 16-bit floats widened to float32 unless `allocate` is given.
   * @param expected names and shapes that the part must have exactly, checked first
   * @param allocate see `SafetensorsFile.read`
   * @throws DataError when they do not match, or the part is missing
   */
  async *tensors(
    part: Part,
    expected?: Expected,
    allocate?: Allocate,
  ): AsyncGenerator<[name: string, tensor: TensorData]> {
    const file = await this.file(part);
    try {
      const infos = new Map(file.names.map((name) => [name, file.info(name)]));
      if (expected !== undefined) matchTensors(infos, expected, file.path);
      for (const name of file.names) {
        const tensor = await file.read(name, allocate);
        yield [name, allocate ? tensor : widen(tensor)];
      }
    } finally {
      await file.close();
    }
  }

  /** The tensors of a part that `isWanted` names, by name, 16-bit floats widened. Throws DataError as `tensors`. */
  async readSome(part: Part, isWanted: (name: string) => boolean): Promise<Map<string, TensorData>> {
    const file = await this.file(part);
    try {
      const some = new Map<string, TensorData>();
      for (const name of file.names.filter(isWanted)) some.set(name, widen(await file.read(name)));
      return some;
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

  /** The opened file of a part, which the caller closes. Throws DataError when the part is missing. */
  file(part: Part): Promise<SafetensorsFile> {
    return SafetensorsFile.open(this.#fileOf(partFile(part), part, partFile(part)));
  }

  #fileOf(file: FileName, what: string, name: string): string {
    if (Object.hasOwn(this.state.files, file)) return join(this.path, name);
    throw new DataError(`the checkpoint has no ${what}`, {
      code: 'E_CHECKPOINT_PART_MISSING',
      where: this.path,
      fix: `use a checkpoint that has its ${what}`,
    });
  }
}

/** Identifies the weights and their EMA by content: equal wherever the checkpoint was copied to. */
export function hashOf({ state }: Checkpoint): string {
  const hash = createHash('sha256');
  for (const part of ['model', 'ema'] as const) hash.update(`${state.files[partFile(part)]?.sha256}\n`);
  return hash.digest('hex');
}
