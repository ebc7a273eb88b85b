// Storages: the flat arrays of a torch file, of which tensors are views. They are read when a tensor is read.

import { bytesPerElement, type TensorType } from '../../checkpoint/dtype.ts';
import { PickleFault } from '../pickle/fault.ts';
import { External } from '../pickle/values.ts';

/** Element types of torch's storage classes; an untyped storage has bytes. */
export const STORAGE_TYPES: Readonly<Record<string, TensorType>> = {
  'torch.FloatStorage': 'float32',
  'torch.DoubleStorage': 'float64',
  'torch.HalfStorage': 'float16',
  'torch.BFloat16Storage': 'bfloat16',
  'torch.LongStorage': 'int64',
  'torch.IntStorage': 'int32',
  'torch.ByteStorage': 'uint8',
  'torch.BoolStorage': 'bool',
  'torch.storage.UntypedStorage': 'uint8',
};

export type ReadStorage = (storage: TorchStorage) => Promise<ArrayBuffer>;

export class TorchStorage extends External {
  readonly kind = 'a storage';
  /** Its name in the file. */
  readonly key: string;
  readonly dtype: TensorType;
  /** Number of elements. */
  readonly count: number;
  readonly #read: ReadStorage;

  constructor(key: string, dtype: TensorType, count: number, read: ReadStorage) {
    super();
    this.key = key;
    this.dtype = dtype;
    this.count = count;
    this.#read = read;
  }

  get bytes(): number {
    return this.count * bytesPerElement(this.dtype);
  }

  /** All elements, in `bytes` bytes. Throws DataError E_FILE_DAMAGED. */
  read(): Promise<ArrayBuffer> {
    return this.#read(this);
  }
}

/** The storages of a file by key. */
export class Storages {
  readonly #byKey = new Map<string, TorchStorage>();
  readonly #read: ReadStorage;
  /** The storage that was read last: tensors that share one mostly follow each other. */
  #last: { readonly storage: TorchStorage; readonly data: Promise<ArrayBuffer> } | undefined;

  constructor(read: ReadStorage) {
    this.#read = read;
  }

  get(key: string): TorchStorage | undefined {
    return this.#byKey.get(key);
  }

  declare(key: string, dtype: TensorType, count: number): TorchStorage {
    const known = this.#byKey.get(key);
    if (known) {
      if (known.dtype === dtype && known.count === count) return known;
      throw new PickleFault(`storage ${key} has two declarations that differ`);
    }
    const storage = new TorchStorage(key, dtype, count, (wanted) => this.#cached(wanted));
    this.#byKey.set(key, storage);
    return storage;
  }

  #cached(storage: TorchStorage): Promise<ArrayBuffer> {
    if (this.#last?.storage !== storage) this.#last = { storage, data: this.#read(storage) };
    return this.#last.data;
  }
}
