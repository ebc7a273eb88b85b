// An opened checkpoint folder: its state, its configuration, and its tensors, which are read on demand. Tensors are
// verified by the checksums of their whole file: in the same pass where all are read in turn, before where only some
// are.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { z } from 'zod';
import { loadConfig } from '../config/load.ts';
import { DataError } from '../util/errors.ts';
import { checkOf, type FileRecord } from './checksum.ts';
import type { TensorData } from './dtype.ts';
import { widen } from './half.ts';
import type { Allocate } from './in-order.ts';
import { type Expected, matchTensors } from './match.ts';
import { SafetensorsFile } from './safetensors.ts';
import {
  type CheckpointState,
  CONFIG_FILE,
  DVAE_FOLDER,
  DVAE_STATE,
  type FileName,
  PARTS,
  type Part,
  partFile,
  readState,
  TOKENIZER_FILE,
  TRAINING_FILES,
} from './state.ts';
import { changed, verifyFile, verifyFolder } from './verify.ts';

export interface TensorOptions {
  /** Names and shapes that the part must have exactly, checked first. */
  readonly expected?: Expected;
  /** Which names `expected` is about; all of them by default. */
  readonly isExpected?: (name: string) => boolean;
  /** Makes the tensor, where it has a place for it. Without it, 16-bit floats are widened to float32. */
  readonly allocate?: Allocate;
}

export class Checkpoint {
  readonly path: string;
  readonly state: CheckpointState;
  /** Parts whose checksums were compared. */
  readonly #verified = new Set<Part>();
  #dvae: Promise<Checkpoint> | undefined;

  private constructor(path: string, state: CheckpointState) {
    this.path = path;
    this.state = state;
  }

  /** Opens a folder, with all verified but the checksums of its tensors; see `verifyFolder`. */
  static async open(path: string, needed: { readonly optimizer: boolean }): Promise<Checkpoint> {
    return new Checkpoint(path, await verifyFolder(path, needed));
  }

  /**
   * Verifies what is not yet, including a DALL·E checkpoint's dVAE.
   * @param optimizer whether to verify the files that only training needs
   * @throws DamagedCheckpointError
   */
  async verify({ optimizer }: { readonly optimizer: boolean }): Promise<void> {
    for (const part of PARTS) {
      const isNeeded = optimizer || !TRAINING_FILES.includes(partFile(part));
      if (isNeeded && this.has(part)) await this.#verify(part);
    }
    if (Object.hasOwn(this.state.files, DVAE_STATE)) await (await this.dvae()).verify({ optimizer: false });
  }

  async #verify(part: Part): Promise<void> {
    if (this.#verified.has(part)) return;
    await verifyFile(this.#fileOf(partFile(part), part, partFile(part)), this.#record(part));
    this.#verified.add(part);
  }

  #record(part: Part): FileRecord {
    return this.state.files[partFile(part)] as FileRecord;
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
    this.#dvae ??= readState(path).then((state) => new Checkpoint(path, state));
    return this.#dvae;
  }

  /** The names of the tensors of a part, in the order of the file. Throws DataError when the part is missing. */
  async names(part: Part): Promise<readonly string[]> {
    const file = await this.file(part);
    await file.close();
    return file.names;
  }

  /**
   * The tensors of a part one by one, in the order of the file. The last one is yielded once all bytes of the file are
   * verified: stop before, and none is.
   * @throws DamagedCheckpointError; DataError when they do not match, or the part is missing
   */
  async *tensors(
    part: Part,
    options: TensorOptions = {},
  ): AsyncGenerator<[name: string, tensor: TensorData]> {
    const path = this.#fileOf(partFile(part), part, partFile(part));
    try {
      yield* this.#tensors(path, part, options);
    } catch (error) {
      // A file that cannot be read, or does not fit, may be one that has changed.
      await this.#verify(part);
      throw error;
    }
  }

  async *#tensors(
    path: string,
    part: Part,
    { expected, isExpected = () => true, allocate }: TensorOptions,
  ): ReturnType<Checkpoint['tensors']> {
    const check = this.#verified.has(part) ? undefined : checkOf(this.#record(part));
    const verify = (): void => {
      if (check?.matches() === false) throw changed(path);
      this.#verified.add(part);
    };
    const file = await SafetensorsFile.open(path);
    try {
      const infos = new Map(file.names.map((name) => [name, file.info(name)]));
      if (expected !== undefined)
        matchTensors(new Map([...infos].filter(([name]) => isExpected(name))), expected, path);
      let left = infos.size;
      if (left === 0) verify();
      for await (const [name, tensor] of file.inOrder({ allocate, onBytes: check?.update })) {
        if (--left === 0) verify();
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
    for await (const [name, tensor] of this.tensors(part, expected && { expected })) all.set(name, tensor);
    return all;
  }

  /** The opened file of a part, verified, which the caller closes. Throws DataError when the part is missing. */
  async file(part: Part): Promise<SafetensorsFile> {
    const path = this.#fileOf(partFile(part), part, partFile(part));
    await this.#verify(part);
    return SafetensorsFile.open(path);
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
