// TensorFlow's data types: their numbers in the C API, and the typed arrays that hold them on the host.

import type { Tensor } from '@tensorflow/tfjs';
import { HOST_ARRAYS, type HostArray } from '../../util/element-types.ts';

/** Numbers of TF_DataType. */
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

type HostArrayConstructor = (new (length: number) => HostArray) & { readonly BYTES_PER_ELEMENT: number };

/** complex64 is held as pairs of real and imaginary part. */
const ARRAYS: Readonly<Record<string, HostArrayConstructor>> = { ...HOST_ARRAYS, complex64: Float32Array };

/** Bytes of one element as TensorFlow stores it. */
export function elementBytes(dtype: number): number {
  if (dtype === DT.complex64) return 8;
  if (dtype === DT.string) return 24; // sizeof(TF_TString)
  return arrayType(dtype).BYTES_PER_ELEMENT;
}

/** @throws RangeError for types without a host array, such as strings */
export function arrayType(dtype: number): HostArrayConstructor {
  const type = ARRAYS[dtypeName(dtype)];
  if (!type) throw new RangeError(`no host array for TensorFlow data type ${dtype}`);
  return type;
}

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(DT).map(([name, number]) => [number, name]),
);

export const dtypeName = (dtype: number): string => NAMES.get(dtype) ?? `type ${dtype}`;

/** TensorFlow's number for a tfjs tensor's data type. */
export const dtypeOf = (tensor: Tensor): number => DT[tensor.dtype];
