// Weights of Flax (flax_model.msgpack) as named tensors, read one by one.

import { type FileHandle, open } from 'node:fs/promises';
import { ELEMENT_TYPES, elementCount, type TensorData, type TensorType } from '../../checkpoint/dtype.ts';
import { readFully } from '../../checkpoint/read-fully.ts';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import type { ExternalTensor, StateDict } from '../tensors.ts';
import { isArray, MessagePackReader, type PlacedArray, type Span, type Value } from './msgpack.ts';

const isKnown = (dtype: string): dtype is TensorType => Object.hasOwn(ELEMENT_TYPES, dtype);

export class FlaxFile {
  readonly path: string;
  /** By the keys on the way to it, with dots between them. */
  readonly tensors: StateDict;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle, tensors: StateDict) {
    this.path = path;
    this.#file = file;
    this.tensors = tensors;
  }

  /** Opens a file; the caller closes it. @throws DataError */
  static async open(path: string): Promise<FlaxFile> {
    const file = await open(path, 'r').catch((cause: unknown) => {
      throw readError(cause, path, 'file');
    });
    try {
      const { size } = await file.stat();
      const value = await new MessagePackReader(file, size, path).read();
      const tensors = new Map<string, ExternalTensor>();
      const visit = (inner: Value, name: string): void => {
        if (isArray(inner)) tensors.set(name, new FlaxTensor(file, path, name, inner));
        else if (inner instanceof Map)
          for (const [key, part] of inner) visit(part, name === '' ? key : `${name}.${key}`);
      };
      visit(value, '');
      return new FlaxFile(path, file, tensors);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** A tensor of a Flax file, or some rows of one. */
export class FlaxTensor implements ExternalTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly #file: FileHandle;
  readonly #where: string;
  readonly #name: string;
  readonly #spans: readonly Span[];
  readonly #begin: number;

  /** @param begin bytes of the array before the tensor's first element */
  constructor(
    file: FileHandle,
    where: string,
    name: string,
    { dtype, shape, spans }: PlacedArray,
    begin?: number,
  ) {
    this.#file = file;
    this.#where = where;
    this.#name = name;
    this.dtype = dtype;
    this.shape = shape;
    this.#spans = spans;
    this.#begin = begin ?? 0;
    const bytes = spans.reduce((sum, { length }) => sum + length, 0);
    if (begin === undefined && isKnown(dtype) && this.#elements * this.#width !== bytes)
      throw this.#damaged(`${bytes} bytes for ${dtype}[${shape}]`);
  }

  get #width(): number {
    return isKnown(this.dtype) ? ELEMENT_TYPES[this.dtype].array.BYTES_PER_ELEMENT : 0;
  }

  get #elements(): number {
    return elementCount(this.shape) ?? Number.POSITIVE_INFINITY;
  }

  #damaged(what: string): DataError {
    return new DataError(`tensor ${this.#name} is damaged: ${what}`, {
      code: 'E_FILE_DAMAGED',
      where: this.#where,
      fix: 'fetch the file again',
    });
  }

  rows(start: number, count: number): FlaxTensor {
    return this.#part(start, [count, ...this.shape.slice(1)]);
  }

  /** Entry `index` of the first axis, without that axis: a layer, where all layers are in one array. */
  at(index: number): FlaxTensor {
    return this.#part(index, this.shape.slice(1));
  }

  #part(row: number, shape: readonly number[]): FlaxTensor {
    const rowBytes = (elementCount(this.shape.slice(1)) ?? 0) * this.#width;
    const placed = { dtype: this.dtype, shape, spans: this.#spans };
    return new FlaxTensor(this.#file, this.#where, this.#name, placed, this.#begin + row * rowBytes);
  }

  async read(): Promise<TensorData> {
    const { dtype, shape } = this;
    if (!isKnown(dtype)) throw this.#damaged(`mm does not read ${dtype}`);
    const bytes = new Uint8Array(this.#elements * this.#width);
    let [begin, done] = [this.#begin, 0];
    for (const { at, length } of this.#spans) {
      const count = Math.min(length - begin, bytes.length - done);
      if (count > 0) {
        const part = bytes.subarray(done, done + count);
        await readFully(this.#file, part, at + begin, () => this.#damaged('the file ends too early'));
        done += count;
      }
      begin = Math.max(0, begin - length);
    }
    return { dtype, shape, data: new ELEMENT_TYPES[dtype].array(bytes.buffer) };
  }
}
