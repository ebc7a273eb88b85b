// External weights: the files to convert, and the interface of converters.

import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SafetensorsFile } from '../checkpoint/safetensors.ts';
import type { CheckpointContents } from '../checkpoint/write.ts';
import { DataError } from '../util/errors.ts';
import { type HeldDict, heldDicts } from './files/held.ts';
import { type FileKind, isFile, kindOf } from './files/kinds.ts';
import { assertComplete, assertIndexed, findShards, type ShardSet } from './files/shards.ts';
import { FlaxFile } from './flax/file.ts';
import type { PickleValue } from './pickle/values.ts';
import { externalTensor, type StateDict } from './tensors.ts';
import { TorchFile } from './torch/file.ts';

/** A model has a few files; a folder with more holds several checkpoints. */
const MAX_FILES = 64;
/** Files of any kind in a folder. */
const MAX_NAMES = 2000;

/** An opened file of torch.save. */
export interface ExternalFile {
  readonly path: string;
  readonly value: PickleValue;
}

/** A state dictionary of a file, or of all shards of one. */
export interface ExternalDict extends HeldDict {
  /** The file, or the index of the shards. */
  readonly where: string;
}

/** The files to convert. Each is opened when a converter first needs it. */
export class ExternalFiles {
  readonly paths: readonly string[];
  /** Folders that were given. */
  readonly folders: readonly string[];
  /** What was left out or chosen, for output. */
  readonly notes: string[] = [];
  /** Files and indexes of shards whose weights are converted. */
  readonly used = new Set<string>();
  /** Files that the user did not name and that cannot be read: an error only where nothing else is recognized. */
  readonly faults: DataError[] = [];
  readonly #named: ReadonlySet<string>;
  readonly #kinds = new Map<string, FileKind>();
  readonly #opened = new Map<string, TorchFile | undefined>();
  readonly #safetensors = new Map<string, SafetensorsFile | undefined>();
  readonly #flax = new Map<string, FlaxFile | undefined>();
  #dicts: ExternalDict[] | undefined;

  private constructor(paths: readonly string[], named: readonly string[], folders: readonly string[]) {
    this.paths = paths;
    this.folders = folders;
    this.#named = new Set(named);
  }

  /** Lists files, and the files in folders except hidden ones. Throws DataError E_NOT_FOUND. */
  static async find(paths: readonly string[]): Promise<ExternalFiles> {
    const folders: string[] = [];
    const found = await Promise.all(
      paths.map(async (path) => {
        const stats = await stat(path).catch((cause: unknown) => {
          throw new DataError('no such file or folder', {
            code: 'E_NOT_FOUND',
            where: path,
            fix: 'check the path',
            cause,
          });
        });
        if (stats.isFile()) return [path];
        if (!stats.isDirectory())
          throw new DataError('a pipe or a device, of which no place can be read', {
            code: 'E_NOT_A_FILE',
            where: path,
            fix: 'save it as a file first',
          });
        folders.push(path);
        const names = (await readdir(path)).filter((name) => !name.startsWith('.'));
        if (names.length > MAX_NAMES)
          throw new DataError(`a folder of ${names.length} files, more than the ${MAX_NAMES} of one model`, {
            code: 'E_WEIGHTS_UNKNOWN',
            where: path,
            fix: 'give the files of the model',
          });
        const inside = names.sort().map((name) => join(path, name));
        const isOne = await Promise.all(inside.map(isFile));
        return inside.filter((_, i) => isOne[i]);
      }),
    );
    const named = paths.filter((path) => !folders.includes(path));
    return new ExternalFiles([...new Set(found.flat())], named, folders);
  }

  /** All paths, for messages. */
  get where(): string {
    return [...this.folders, ...this.#named].join(', ');
  }

  /**
   * The path of the file `name`, if there is one.
   * @throws DataError E_WEIGHTS_AMBIGUOUS when there are several
   */
  named(name: string): string | undefined {
    return this.only(this.paths.filter((path) => basename(path) === name));
  }

  /** The path, of none or one. @throws DataError E_WEIGHTS_AMBIGUOUS when there are several */
  only(paths: readonly string[]): string | undefined {
    const [path, another] = paths;
    if (another === undefined) return path;
    throw new DataError(`${paths.length} files of which one belongs to the weights: ${paths.join(', ')}`, {
      code: 'E_WEIGHTS_AMBIGUOUS',
      where: this.where,
      fix: 'give the files of one model, or its folder',
    });
  }

  /** The files of torch.save, whatever their endings. Throws DataError when one that the user named cannot be read. */
  async torchFiles(): Promise<readonly ExternalFile[]> {
    return (await this.#ofKind('torch', this.paths)).flatMap((path) => this.#opened.get(path) ?? []);
  }

  /** The safetensors files. Throws DataError when one that the user named cannot be read. */
  async safetensorsFiles(): Promise<readonly SafetensorsFile[]> {
    return (await this.#ofKind('safetensors', this.paths)).flatMap(
      (path) => this.#safetensors.get(path) ?? [],
    );
  }

  /** Files of other formats, by what they are; undefined for those without a name. */
  async others(): Promise<readonly { readonly path: string; readonly kind: FileKind }[]> {
    const kinds = await Promise.all(
      this.paths.map(async (path) => ({ path, kind: await this.#kindOf(path) })),
    );
    return kinds.flatMap(({ path, kind }) => (kind?.kind === 'other' ? [{ path, kind }] : []));
  }

  /** All state dictionaries: of shards together, of safetensors files, of torch's. Throws DataError. */
  async stateDicts(): Promise<readonly ExternalDict[]> {
    this.#dicts ??= await this.#readDicts();
    return this.#dicts;
  }

  /** Files with state dictionaries that are not among those used. */
  async unused(): Promise<string[]> {
    const all = new Set((await this.stateDicts()).map(({ where }) => where));
    return [...all].filter((where) => !this.used.has(where));
  }

  async #readDicts(): Promise<ExternalDict[]> {
    const sets = await this.#attempt(() => findShards(this.paths), this.where);
    const dicts: ExternalDict[] = [];
    for (const set of sets ?? []) {
      const tensors = await this.#attempt(() => this.#joined(set), set.where);
      if (tensors) dicts.push({ where: set.where, key: '', tensors });
    }
    const shards = new Set(sets?.flatMap(({ files }) => files));
    const whole = this.paths.filter((path) => !shards.has(path));
    for (const kind of ['safetensors', 'torch', 'flax'] as const)
      for (const path of await this.#ofKind(kind, whole)) dicts.push(...this.#dictsOf(path));
    return dicts;
  }

  /** The tensors of all shards. */
  async #joined(set: ShardSet): Promise<StateDict> {
    await assertComplete(set);
    const all = new Map<string, ReturnType<typeof externalTensor>>();
    const names = new Map<string, ReadonlySet<string>>();
    for (const path of set.files) {
      for (const kind of ['safetensors', 'torch'] as const) await this.#ofKind(kind, [path]);
      const tensors = this.#dictsOf(path)[0]?.tensors ?? new Map();
      names.set(path, new Set(tensors.keys()));
      for (const [name, tensor] of tensors) all.set(name, tensor);
    }
    assertIndexed(set, (name, file) => names.get(file)?.has(name) ?? false);
    return all;
  }

  #dictsOf(path: string): ExternalDict[] {
    const torch = this.#opened.get(path);
    if (torch) return heldDicts(torch.value, path).map((held) => ({ ...held, where: path }));
    const flax = this.#flax.get(path);
    if (flax) return [{ where: path, key: '', tensors: flax.tensors }];
    const file = this.#safetensors.get(path);
    if (!file) return [];
    const tensors = file.names.map((name) => {
      const { dtype, shape } = file.description(name);
      return [name, externalTensor(dtype, shape, () => file.read(name))] as const;
    });
    return [{ where: path, key: '', tensors: new Map(tensors) }];
  }

  /** The paths that are of this kind, opened. */
  async #ofKind(kind: 'torch' | 'safetensors' | 'flax', paths: readonly string[]): Promise<string[]> {
    const found: string[] = [];
    for (const path of paths) if ((await this.#kindOf(path))?.kind === kind) found.push(path);
    if (found.length > MAX_FILES) {
      throw new DataError(`${found.length} files of weights, more than the ${MAX_FILES} of one model`, {
        code: 'E_WEIGHTS_UNKNOWN',
        where: this.where,
        fix: 'give the files of one model',
      });
    }
    for (const path of found) {
      if (kind === 'torch' && !this.#opened.has(path))
        this.#opened.set(path, await this.#attempt(() => TorchFile.open(path), path));
      if (kind === 'safetensors' && !this.#safetensors.has(path))
        this.#safetensors.set(path, await this.#attempt(() => SafetensorsFile.open(path), path));
      if (kind === 'flax' && !this.#flax.has(path))
        this.#flax.set(path, await this.#attempt(() => FlaxFile.open(path), path));
    }
    return found;
  }

  async #kindOf(path: string): Promise<FileKind | undefined> {
    let kind = this.#kinds.get(path);
    if (!kind) {
      kind = (await this.#attempt(() => kindOf(path), path)) ?? { kind: 'other' };
      this.#kinds.set(path, kind);
    }
    return kind;
  }

  /** Undefined, with the fault kept, where `path` is a file that the user did not name. */
  async #attempt<T>(read: () => Promise<T>, path: string): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof DataError) || this.#named.has(path)) throw error;
      this.faults.push(error);
      return undefined;
    }
  }

  async close(): Promise<void> {
    for (const files of [this.#opened, this.#safetensors, this.#flax])
      for (const file of files.values()) await file?.close();
  }
}

export interface ConvertOptions {
  /** Key of a state dictionary, or beginning of the tensors' names, where a file holds several models. */
  readonly part?: string | undefined;
  /** Pixels on a side, for models whose files do not include it. */
  readonly imageSize?: number | undefined;
  /** File of the tokenizer, of any kind, for models of text whose files do not include one. */
  readonly tokenizer?: string | undefined;
  /** Checkpoint of a DALL·E's image tokenizer, instead of the one in its file. */
  readonly dvae?: string | undefined;
  /** Share of the captions that a DALL·E was trained without, which its file does not say. */
  readonly nullCaptions?: number | undefined;
  /** Version of a ruDALL-E, for files whose names do not say: v2 was trained with other attention than v3. */
  readonly rudalle?: 'v2' | 'v3' | undefined;
  /** File of a VQGAN's sizes: model.yaml, or diffusers' config.json. */
  readonly config?: string | undefined;
  /** Activation of a CLIP's resblocks, for weights that do not include it. */
  readonly activation?: 'quick-gelu' | 'gelu' | 'gelu-tanh' | undefined;
  /** Attention heads of a CLIP's towers, for weights that do not say. */
  readonly heads?: number | undefined;
  readonly textHeads?: number | undefined;
  /** Text positions of a CLIP, where another number is wanted than the weights have. */
  readonly textLength?: number | undefined;
  /** Of a CLIP's images, for files that do not say. */
  readonly preprocessing?: 'openai' | 'inception' | 'siglip' | 'dfn' | 'clipa' | undefined;
  /** Red, green and blue, instead of the preprocessing's. */
  readonly mean?: readonly number[] | undefined;
  readonly std?: readonly number[] | undefined;
}

/** A checkpoint to write. Its tensors are read from the files while it is written. */
export interface Converted {
  /** The model and its sizes, for output. */
  readonly what: string;
  readonly contents: Pick<
    CheckpointContents,
    'kind' | 'config' | 'model' | 'external' | 'tokenizer' | 'dvae'
  >;
  /** The dVAE of a DALL·E, where `contents` has none. */
  readonly dvae?: Converted;
}

export interface Converter {
  /** The model and its files, for messages. */
  readonly reads: string;
  /** Options that it uses, `part` aside; another one is an error. Any without it. */
  readonly takes?: readonly (keyof ConvertOptions)[];
  /** Names of the tensors of a small model, for the nearest model of a file that is not recognized. */
  readonly names?: readonly string[];
  /**
   * Converts the model in the files; undefined when the files are of another kind.
   * @throws DataError when the files are of this kind, but cannot be converted
   */
  convert(files: ExternalFiles, options: ConvertOptions): Promise<Converted | undefined>;
}
