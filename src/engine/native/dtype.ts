// TensorFlow's data types, by their numbers in the C API, and the arrays that hold them on the host.

import type { Tensor } from '@tensorflow/tfjs';

export const DT = {
  float32: 1,
  float64: 2,
  int32: 3,
  uint8: 4,
  string: 7,
  complex64: 8,
  int64: 9,
  bool: 10,
  bfloat16: 14,
  float16: 19,
  resource: 20,
} as const;

export type DTypeName = keyof typeof DT;
export type DTypeNumber = (typeof DT)[DTypeName];

export type HostArray = Float32Array | Float64Array | Int32Array | Uint8Array | Uint16Array | BigInt64Array;

type HostArrayConstructor = (new (length: number) => HostArray) & { readonly BYTES_PER_ELEMENT: number };

const ARRAYS: Readonly<Record<number, HostArrayConstructor>> = {
  [DT.float32]: Float32Array,
  [DT.float64]: Float64Array,
  [DT.int32]: Int32Array,
  [DT.uint8]: Uint8Array,
  [DT.complex64]: Float32Array, // pairs
  [DT.int64]: BigInt64Array,
  [DT.bool]: Uint8Array,
  [DT.bfloat16]: Uint16Array,
  [DT.float16]: Uint16Array,
};

/** Bytes of one element as TensorFlow stores it. */
export function elementBytes(dtype: number): number {
  if (dtype === DT.complex64) return 8;
  if (dtype === DT.string) return 24; // sizeof(TF_TString)
  return arrayType(dtype).BYTES_PER_ELEMENT;
}

export function arrayType(dtype: number): HostArrayConstructor {
  const type = ARRAYS[dtype];
  if (!type) throw new RangeError(`no host array for TensorFlow data type ${dtype}`);
  return type;
}

export function dtypeName(dtype: number): string {
  return Object.entries(DT).find(([, number]) => number === dtype)?.[0] ?? `type ${dtype}`;
}

/** TensorFlow's number for a tfjs tensor's data type. */
export const dtypeOf = (tensor: Tensor): number => DT[tensor.dtype];
