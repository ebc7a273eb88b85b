// Other people's weights: the files that `mm convert` was given, and what a converter makes of them.

import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SafetensorsFile, type TensorSource } from '../checkpoint/safetensors.ts';
import type { CheckpointContents } from '../checkpoint/write.ts';
import { DataError } from '../util/errors.ts';
import type { PickleValue } from './pickle/values.ts';
import { TorchFile } from './torch/file.ts';
import type { TorchTensor } from './torch/tensor.ts';

const TORCH_FILE = /\.(pt|pth|pkl|bin|ckpt)$/i;
/** A model is in a few files; a folder of checkpoints is not one model. */
const MAX_FILES = 16;

/** A file of torch.save, opened. */
export interface ExternalFile {
  readonly path: string;
  readonly value: PickleValue;
}

/** What `mm convert` was given, opened as converters ask for it. */
export class ExternalFiles {
  readonly paths: readonly string[];
  readonly #opened = new Map<string, TorchFile>();
  readonly #safetensors = new Map<string, SafetensorsFile>();

  private constructor(paths: readonly string[]) {
    this.paths = paths;
  }

  /** Files, and the files in folders. Throws DataError when one is missing. */
  static async find(paths: readonly string[]): Promise<ExternalFiles> {
    const found = await Promise.all(
      paths.map(async (path) => {
        const stats = await stat(path).catch((cause: unknown) => {
          throw new DataError('there is no such file or folder', {
            code: 'E_NOT_FOUND',
            where: path,
            fix: 'check the path',
            cause,
          });
        });
        return stats.isDirectory() ? (await readdir(path)).sort().map((name) => join(path, name)) : [path];
      }),
    );
    return new ExternalFiles(found.flat());
  }

  /** For messages. */
  get where(): string {
    return this.paths.join(', ');
  }

  /** The path of the file called `name`, if there is one. */
  named(name: string): string | undefined {
    return this.paths.find((path) => basename(path) === name);
  }

  /** All files that look like torch's, by their names. Throws DataError. */
  async torchFiles(): Promise<readonly ExternalFile[]> {
    const paths = this.paths.filter((path) => TORCH_FILE.test(path));
    if (paths.length > MAX_FILES) {
      throw new DataError(`${paths.length} files of weights, where a model has a few`, {
        where: this.where,
        fix: 'name the files of one model',
      });
    }
    for (const path of paths) {
      if (!this.#opened.has(path)) this.#opened.set(path, await TorchFile.open(path));
    }
    return paths.map((path) => this.#opened.get(path) as TorchFile);
  }

  /** All safetensors files, by their names. Throws DataError. */
  async safetensorsFiles(): Promise<readonly SafetensorsFile[]> {
    for (const path of this.paths.filter((path) => path.endsWith('.safetensors'))) {
      if (!this.#safetensors.has(path)) this.#safetensors.set(path, await SafetensorsFile.open(path));
    }
    return [...this.#safetensors.values()];
  }

  async close(): Promise<void> {
    for (const file of [...this.#opened.values(), ...this.#safetensors.values()]) await file.close();
  }
}

export interface ConvertOptions {
  /** Pixels on a side, for models whose weights do not say. */
  readonly imageSize?: number | undefined;
  /** tokenizer.json, or the merges file of a CLIP, for models of text whose files do not hold one. */
  readonly tokenizer?: string | undefined;
  /** Of a CLIP's resblocks, for weights that do not say. */
  readonly activation?: 'quick-gelu' | 'gelu' | undefined;
  /** Attention heads of a CLIP's towers, for weights that do not say. */
  readonly heads?: number | undefined;
  readonly textHeads?: number | undefined;
  /** Text positions of a CLIP, where another number is wanted than the weights have. */
  readonly textLength?: number | undefined;
  /** Of a CLIP's images, for files that do not say. */
  readonly preprocessing?: 'openai' | 'inception' | 'dfn' | 'clipa' | undefined;
  /** Red, green and blue, instead of the preprocessing's. */
  readonly mean?: readonly number[] | undefined;
  readonly std?: readonly number[] | undefined;
}

/** A checkpoint to write; tensors are read from the files one by one as it is written. */
export interface Converted {
  /** The model in a few words, for people. */
  readonly what: string;
  readonly contents: Pick<CheckpointContents, 'kind' | 'config' | 'model' | 'tokenizer'>;
  /** For DALL·E: its dVAE. */
  readonly dvae?: Converted;
}

export interface Converter {
  /** Whose files these are, and which: for help and messages. */
  readonly reads: string;
  /**
   * The model in the files, or undefined when they are not of this kind.
   * @throws DataError when they are, and something about them is wrong
   */
  convert(files: ExternalFiles, options: ConvertOptions): Promise<Converted | undefined>;
}

const FLOATS: readonly string[] = ['float32', 'float16', 'bfloat16', 'float64'];

/** A weight as it goes into a checkpoint: float64 becomes float32. Throws DataError for one of integers. */
export function weightSource(name: string, tensor: TorchTensor, where: string): TensorSource {
  const { dtype, shape } = tensor;
  if (!FLOATS.includes(dtype)) {
    throw new DataError(`tensor ${name} is of type ${dtype}, where weights are floats`, {
      where,
      fix: 'quantized weights cannot be converted; use those they were made from',
    });
  }
  const data = async () => (await tensor.read()).data;
  if (dtype !== 'float64') return { dtype, shape, data };
  return { dtype: 'float32', shape, data: async () => Float32Array.from((await data()) as Float64Array) };
}
