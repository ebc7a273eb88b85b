// External weights: the files to convert, and the interface of converters.

import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SafetensorsFile, type TensorSource } from '../checkpoint/safetensors.ts';
import type { CheckpointContents } from '../checkpoint/write.ts';
import { DataError } from '../util/errors.ts';
import type { PickleValue } from './pickle/values.ts';
import { TorchFile } from './torch/file.ts';
import type { TorchTensor } from './torch/tensor.ts';

const TORCH_FILE = /\.(pt|pth|pkl|bin|ckpt)$/i;
/** A model has a few files; a folder with more holds several checkpoints. */
const MAX_FILES = 16;

/** An opened file of torch.save. */
export interface ExternalFile {
  readonly path: string;
  readonly value: PickleValue;
}

/** The files to convert. Each is opened when a converter first needs it. */
export class ExternalFiles {
  readonly paths: readonly string[];
  readonly #opened = new Map<string, TorchFile>();
  readonly #safetensors = new Map<string, SafetensorsFile>();

  private constructor(paths: readonly string[]) {
    this.paths = paths;
  }

  /** Lists files, and the files in folders. Throws DataError E_NOT_FOUND. */
  static async find(paths: readonly string[]): Promise<ExternalFiles> {
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
        return stats.isDirectory() ? (await readdir(path)).sort().map((name) => join(path, name)) : [path];
      }),
    );
    return new ExternalFiles(found.flat());
  }

  /** All paths, for messages. */
  get where(): string {
    return this.paths.join(', ');
  }

  /** The path of the file `name`, if there is one. */
  named(name: string): string | undefined {
    return this.paths.find((path) => basename(path) === name);
  }

  /** The files with an extension of torch's. Throws DataError when one cannot be read. */
  async torchFiles(): Promise<readonly ExternalFile[]> {
    const paths = this.paths.filter((path) => TORCH_FILE.test(path));
    if (paths.length > MAX_FILES) {
      throw new DataError(`${paths.length} files of weights, more than the ${MAX_FILES} of one model`, {
        code: 'E_WEIGHTS_UNKNOWN',
        where: this.where,
        fix: 'give the files of one model',
      });
    }
    for (const path of paths) {
      if (!this.#opened.has(path)) this.#opened.set(path, await TorchFile.open(path));
    }
    return paths.map((path) => this.#opened.get(path) as TorchFile);
  }

  /** The files with the extension .safetensors. Throws DataError when one cannot be read. */
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
  /** Pixels on a side, for models whose files do not include it. */
  readonly imageSize?: number | undefined;
  /** tokenizer.json, or CLIP's merges file, for models of text whose files do not include one. */
  readonly tokenizer?: string | undefined;
  /** Activation of a CLIP's resblocks, for weights that do not include it. */
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

/** A checkpoint to write. Its tensors are read from the files while it is written. */
export interface Converted {
  /** The model and its sizes, for output. */
  readonly what: string;
  readonly contents: Pick<CheckpointContents, 'kind' | 'config' | 'model' | 'tokenizer'>;
  /** The dVAE of a DALL·E. */
  readonly dvae?: Converted;
}

export interface Converter {
  /** The model and its files, for messages. */
  readonly reads: string;
  /**
   * Converts the model in the files; undefined when the files are of another kind.
   * @throws DataError when the files are of this kind, but cannot be converted
   */
  convert(files: ExternalFiles, options: ConvertOptions): Promise<Converted | undefined>;
}

const FLOATS: readonly string[] = ['float32', 'float16', 'bfloat16', 'float64'];

/** A weight as a tensor of a checkpoint; float64 becomes float32. Throws DataError for integers. */
export function weightSource(name: string, tensor: TorchTensor, where: string): TensorSource {
  const { dtype, shape } = tensor;
  if (!FLOATS.includes(dtype)) {
    throw new DataError(`tensor ${name} is of type ${dtype}, but weights are floats`, {
      code: 'E_WEIGHTS_UNSUPPORTED',
      where,
      fix: 'convert the weights before quantization',
    });
  }
  const data = async () => (await tensor.read()).data;
  if (dtype !== 'float64') return { dtype, shape, data };
  return { dtype: 'float32', shape, data: async () => Float32Array.from((await data()) as Float64Array) };
}
