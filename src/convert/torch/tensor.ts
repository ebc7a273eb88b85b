// A tensor of a torch file: a view of a storage by offset and strides, read on demand.

import {
  bytesPerElement,
  ELEMENT_TYPES,
  elementCount,
  type TensorArray,
  type TensorData,
  type TensorType,
} from '../../checkpoint/dtype.ts';
import { PickleFault } from '../pickle/fault.ts';
import { External } from '../pickle/values.ts';
import type { ExternalTensor } from '../tensors.ts';
import type { TorchStorage } from './storage.ts';

/** Strides of 0 make a tensor of any size from a few bytes; no weight is larger than this. */
const MAX_ELEMENTS = 2 ** 32;

export class TorchTensor extends External implements ExternalTensor {
  readonly kind = 'a tensor';
  readonly dtype: TensorType;
  readonly shape: readonly number[];
  readonly #storage: TorchStorage;
  /** Offset and strides in elements. */
  readonly #offset: number;
  readonly #strides: readonly number[];

  /** Throws PickleFault when the view exceeds the storage. */
  constructor(
    storage: TorchStorage,
    dtype: TensorType,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    super();
    this.dtype = dtype;
    this.shape = shape;
    this.#storage = storage;
    this.#offset = offset;
    this.#strides = strides;
    const count = elementCount(shape);
    if (strides.length !== shape.length || count === undefined || count > MAX_ELEMENTS) {
      throw new PickleFault(`a tensor has the shape [${shape}] and the strides [${strides}]`);
    }
    const last = shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] as number), offset);
    if (count > 0 && (last + 1) * bytesPerElement(dtype) > storage.bytes) {
      throw new PickleFault(
        `a tensor of shape [${shape}] needs ${last + 1} elements of storage ${storage.key}, which has ${storage.bytes} bytes`,
      );
    }
  }

  /** `count` rows, the first of which is `start`. */
  rows(start: number, count: number): TorchTensor {
    const [stride = 0] = this.#strides;
    const shape = [count, ...this.shape.slice(1)];
    return new TorchTensor(this.#storage, this.dtype, this.#offset + start * stride, shape, this.#strides);
  }

  /** The elements, row-major; tensors of one storage may share memory. Throws DataError E_FILE_DAMAGED. */
  async read(): Promise<TensorData> {
    const { dtype, shape } = this;
    return { dtype, shape, data: await this.#array() };
  }

  async #array(): Promise<TensorArray> {
    const { array: Elements } = ELEMENT_TYPES[this.dtype];
    const storage = await this.#storage.read();
    const count = elementCount(this.shape) as number;
    const begin = this.#offset * Elements.BYTES_PER_ELEMENT;
    if (this.#isContiguous()) {
      const end = begin + count * Elements.BYTES_PER_ELEMENT;
      return new Elements(begin === 0 && end === storage.byteLength ? storage : storage.slice(begin, end));
    }
    const source = new Elements(storage);
    const target = new Elements(new ArrayBuffer(count * Elements.BYTES_PER_ELEMENT));
    gather(source, target, this.#offset, this.shape, this.#strides);
    return target;
  }

  #isContiguous(): boolean {
    let stride = 1;
    for (let axis = this.shape.length - 1; axis >= 0; axis--) {
      const size = this.shape[axis] as number;
      if (size !== 1 && this.#strides[axis] !== stride) return size === 0;
      stride *= size;
    }
    return true;
  }
}

/** Copies the view of `source` to `target` in row-major order. */
function gather(
  source: TensorArray,
  target: TensorArray,
  offset: number,
  shape: readonly number[],
  strides: readonly number[],
): void {
  const index = shape.map(() => 0);
  let from = offset;
  for (let to = 0; to < target.length; to++) {
    target[to] = source[from] as number;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis] as number;
      index[axis]! += 1;
      if (index[axis]! < shape[axis]!) break;
      from -= shape[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
}
