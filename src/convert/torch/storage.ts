// Storages: the flat arrays of a torch file, of which tensors are views. They are read when a tensor is read.

import { bytesPerElement, ELEMENT_TYPES, type TensorType } from '../../checkpoint/dtype.ts';
import { PickleFault } from '../pickle/fault.ts';
import { External } from '../pickle/values.ts';

/** Bytes of an element of types whose elements are not read: their storages are only passed over. */
const OTHER_TYPES = {
  int8: 1,
  int16: 2,
  complex64: 8,
  complex128: 16,
  qint8: 1,
  quint8: 1,
  qint32: 4,
  quint4x2: 1,
  quint2x4: 1,
} as const;
export type StorageType = TensorType | keyof typeof OTHER_TYPES;

export const isElementType = (type: StorageType): type is TensorType => Object.hasOwn(ELEMENT_TYPES, type);

/** Element types of torch's storage classes; an untyped storage has bytes. */
export const STORAGE_TYPES: Readonly<Record<string, StorageType>> = {
  'torch.FloatStorage': 'float32',
  'torch.DoubleStorage': 'float64',
  'torch.HalfStorage': 'float16',
  'torch.BFloat16Storage': 'bfloat16',
  'torch.LongStorage': 'int64',
  'torch.IntStorage': 'int32',
  'torch.ByteStorage': 'uint8',
  'torch.BoolStorage': 'bool',
  'torch.CharStorage': 'int8',
  'torch.ShortStorage': 'int16',
  'torch.ComplexFloatStorage': 'complex64',
  'torch.ComplexDoubleStorage': 'complex128',
  'torch.QInt8Storage': 'qint8',
  'torch.QUInt8Storage': 'quint8',
  'torch.QInt32Storage': 'qint32',
  'torch.QUInt4x2Storage': 'quint4x2',
  'torch.QUInt2x4Storage': 'quint2x4',
  'torch.storage.UntypedStorage': 'uint8',
};

export type ReadStorage = (storage: TorchStorage) => Promise<ArrayBuffer>;

export class TorchStorage extends External {
  readonly kind = 'a storage';
  /** Its name in the file. */
  readonly key: string;
  readonly dtype: StorageType;
  /** Number of elements. */
  readonly count: number;
  readonly #read: ReadStorage;

  constructor(key: string, dtype: StorageType, count: number, read: ReadStorage) {
    super();
    this.key = key;
    this.dtype = dtype;
    this.count = count;
    this.#read = read;
  }

  get bytes(): number {
    const { dtype } = this;
    return this.count * (isElementType(dtype) ? bytesPerElement(dtype) : OTHER_TYPES[dtype]);
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

  declare(key: string, dtype: StorageType, count: number): TorchStorage {
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
