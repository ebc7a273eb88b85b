// Copies tensors between host arrays and TF_Tensor. The caller deletes every native tensor made here.

import type { ElementType, HostArray } from '../../util/element-types.ts';
import { sizeOf } from '../../util/shape.ts';
import type { CApi, Pointer } from './capi.ts';
import { arrayType, DT, elementBytes } from './dtype.ts';

/** A tensor on the host. `data` is row-major; float16 and bfloat16 are bit patterns in a Uint16Array. */
export interface HostTensor {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  readonly data: HostArray;
}

/** A float32 scalar as input of a compiled function. */
export const floatScalar = (value: number): HostTensor => ({
  dtype: 'float32',
  shape: [],
  data: Float32Array.of(value),
});

/** An int32 scalar as input of a compiled function. */
export const intScalar = (value: number): HostTensor => ({
  dtype: 'int32',
  shape: [],
  data: Int32Array.of(value),
});

/** Values as tfjs passes them: typed arrays, or arrays of numbers, booleans, strings or bytes. */
export type LooseValues = ArrayLike<number | boolean | string | Uint8Array | bigint>;

/** Allocates a TF_Tensor with these values. @throws RangeError when there are too few */
export function createNative(
  api: CApi,
  dtype: number,
  shape: readonly number[],
  values: LooseValues,
): Pointer {
  const count = sizeOf(shape);
  const bytes = count * elementBytes(dtype);
  const native = api.allocateTensor(dtype, shape.map(BigInt), shape.length, bytes);
  if (dtype === DT.string) writeStrings(api, native, values, count);
  else if (bytes > 0) {
    const array = toArray(dtype, values);
    if (array.byteLength < bytes) {
      api.deleteTensor(native);
      throw new RangeError(
        `Shape does not match number of elements in buffer: [${shape}] needs ${bytes} bytes, got ${array.byteLength}`,
      );
    }
    api.copyIn(api.tensorData(native), array, bytes);
  }
  return native;
}

function toArray(dtype: number, values: LooseValues): ArrayBufferView {
  const type = arrayType(dtype) as unknown as { new (n: number): HostArray; from(v: LooseValues): HostArray };
  if (dtype === DT.int64 && ArrayBuffer.isView(values) && !(values instanceof BigInt64Array)) {
    // tfjs passes an int64 scalar as its two halves in an Int32Array.
    return values as ArrayBufferView;
  }
  return values instanceof type ? values : type.from(values);
}

const ENCODER = new TextEncoder();

function writeStrings(api: CApi, native: Pointer, values: LooseValues, count: number): void {
  const data = api.tensorData(native);
  for (let i = 0; i < count; i++) {
    const slot = data + BigInt(i * elementBytes(DT.string));
    const value = values[i] as string | Uint8Array;
    const bytes = typeof value === 'string' ? ENCODER.encode(value) : value;
    api.stringInit(slot);
    api.stringCopy(slot, bytes, bytes.length);
  }
}

/**
 * A copy of a native tensor's data on the host; strings become byte arrays.
 * @param into receives the data where it has their type and length
 */
export function readNative(api: CApi, native: Pointer, into?: HostArray): HostArray | Uint8Array[] {
  const dtype = api.tensorType(native);
  const bytes = Number(api.tensorBytes(native));
  const data = api.tensorData(native);
  if (dtype === DT.string) return readStrings(api, data, bytes / elementBytes(dtype));
  const type = arrayType(dtype);
  const fits = into instanceof type && into.byteLength === bytes;
  const array = fits ? into : new type(bytes / type.BYTES_PER_ELEMENT);
  if (bytes > 0) api.copyOut(array, data, bytes);
  return array;
}

function readStrings(api: CApi, data: Pointer, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const slot = data + BigInt(i * elementBytes(DT.string));
    const bytes = new Uint8Array(Number(api.stringSize(slot)));
    if (bytes.length > 0) api.copyOut(bytes, api.stringData(slot), bytes.length);
    return bytes;
  });
}

export function shapeOfNative(api: CApi, native: Pointer): number[] {
  return Array.from({ length: api.tensorRank(native) }, (_, i) => Number(api.tensorDim(native, i)));
}
