// Element types of stored tensors: their names in safetensors files and the arrays that hold them here.
// Files are little-endian, as is every machine Node's tfjs runs on.

import { type ElementType, HOST_ARRAYS, type HostArray } from '../util/element-types.ts';

export type TensorArray = HostArray;

export const ELEMENT_TYPES = {
  float32: { code: 'F32', array: HOST_ARRAYS.float32 },
  float64: { code: 'F64', array: HOST_ARRAYS.float64 },
  float16: { code: 'F16', array: HOST_ARRAYS.float16 },
  bfloat16: { code: 'BF16', array: HOST_ARRAYS.bfloat16 },
  int32: { code: 'I32', array: HOST_ARRAYS.int32 },
  int64: { code: 'I64', array: HOST_ARRAYS.int64 },
  uint8: { code: 'U8', array: HOST_ARRAYS.uint8 },
  bool: { code: 'BOOL', array: HOST_ARRAYS.bool },
} as const satisfies Record<ElementType, { readonly code: string; readonly array: unknown }>;

export type TensorType = ElementType;

const BY_CODE: ReadonlyMap<string, TensorType> = new Map(
  Object.entries(ELEMENT_TYPES).map(([name, { code }]) => [code, name as TensorType]),
);

export const typeOfCode = (code: string): TensorType | undefined => BY_CODE.get(code);

export const bytesPerElement = (dtype: TensorType): number => ELEMENT_TYPES[dtype].array.BYTES_PER_ELEMENT;

/** A tensor on the host, row-major; float16 and bfloat16 are bits in a Uint16Array, bool one byte each. */
export interface TensorData {
  readonly dtype: TensorType;
  readonly shape: readonly number[];
  readonly data: TensorArray;
}

/** Elements in `shape`, or undefined when the number is past what a double counts exactly. */
export function elementCount(shape: readonly number[]): number | undefined {
  if (shape.includes(0)) return 0;
  const count = shape.reduce((a, b) => a * b, 1);
  return Number.isSafeInteger(count) ? count : undefined;
}

/** Whether every element is finite. The sum in doubles cannot overflow, and is not finite if one element is not. */
export function isFiniteTensor({ data }: { readonly data: ArrayLike<number | bigint> }): boolean {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += Number(data[i]);
  return Number.isFinite(sum);
}
