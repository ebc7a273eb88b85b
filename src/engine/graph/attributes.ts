// Op attributes in the form of tfjs-node's kernels, and the C API's setter for each kind. The eager API and the graph
// API have the same setters under different names.

import type { CApi, Pointer } from '../native/capi.ts';

/** The numbers of TF_AttrType that tfjs-node's kernels use. */
export const ATTR = { string: 0, int: 1, float: 2, bool: 3, type: 4, shape: 5, tensor: 100 } as const;

export interface Attribute {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

export const typeAttr = (name: string, dtype: number): Attribute => ({ name, type: ATTR.type, value: dtype });
export const shapeAttr = (name: string, shape: readonly number[]): Attribute => ({
  name,
  type: ATTR.shape,
  value: shape,
});
export const boolAttr = (name: string, value: boolean): Attribute => ({ name, type: ATTR.bool, value });
export const intAttr = (name: string, value: number | readonly number[]): Attribute => ({
  name,
  type: ATTR.int,
  value,
});
export const stringAttr = (name: string, value: string | readonly string[]): Attribute => ({
  name,
  type: ATTR.string,
  value,
});

interface Setters {
  string(op: Pointer, name: string, value: Uint8Array, length: number): void;
  stringList?(
    op: Pointer,
    name: string,
    values: readonly string[],
    lengths: readonly bigint[],
    count: number,
  ): void;
  int(op: Pointer, name: string, value: bigint): void;
  intList(op: Pointer, name: string, values: readonly bigint[], length: number): void;
  float(op: Pointer, name: string, value: number): void;
  bool(op: Pointer, name: string, value: number): void;
  type(op: Pointer, name: string, value: number): void;
  shape(op: Pointer, name: string, dims: readonly bigint[], rank: number, status: Pointer): void;
  tensor?(op: Pointer, name: string, value: Pointer, status: Pointer): void;
}

export const graphSetters = (api: CApi): Setters => ({
  string: api.setAttrString,
  stringList: api.setAttrStringList,
  int: api.setAttrInt,
  intList: api.setAttrIntList,
  float: api.setAttrFloat,
  bool: api.setAttrBool,
  type: api.setAttrType,
  shape: (op, name, dims, rank) => api.setAttrShape(op, name, dims, rank),
  tensor: api.setAttrTensor,
});

export const eagerSetters = (api: CApi): Setters => ({
  string: api.eagerAttrString,
  int: api.eagerAttrInt,
  intList: api.eagerAttrIntList,
  float: api.eagerAttrFloat,
  bool: api.eagerAttrBool,
  type: api.eagerAttrType,
  shape: api.eagerAttrShape,
});

export function setAttribute(
  set: Setters,
  op: Pointer,
  { name, type, value }: Attribute,
  status: Pointer,
): void {
  switch (type) {
    case ATTR.string:
      if (typeof value === 'string') set.string(op, name, Buffer.from(value), Buffer.byteLength(value));
      else setStrings(set, op, name, value as readonly string[]);
      break;
    case ATTR.int:
      if (typeof value === 'number') set.int(op, name, bigint(value));
      else set.intList(op, name, bigints(value), bigints(value).length);
      break;
    case ATTR.float:
      set.float(op, name, value as number);
      break;
    case ATTR.bool:
      set.bool(op, name, value ? 1 : 0);
      break;
    case ATTR.type:
      set.type(op, name, value as number);
      break;
    case ATTR.shape:
      set.shape(op, name, bigints(value), bigints(value).length, status);
      break;
    case ATTR.tensor:
      if (!set.tensor) throw new RangeError(`attribute ${name}: tensors are set on graph nodes only`);
      set.tensor(op, name, value as Pointer, status);
      break;
    default:
      throw new RangeError(`attribute ${name}: kind ${type} is not supported`);
  }
}

function setStrings(set: Setters, op: Pointer, name: string, values: readonly string[]): void {
  if (!set.stringList)
    throw new RangeError(`attribute ${name}: lists of strings are set on graph nodes only`);
  const lengths = values.map((value) => BigInt(Buffer.byteLength(value)));
  set.stringList(op, name, values, lengths, values.length);
}

/** Truncates fractions, as tfjs-node's native addon does: tfjs's own tests pass a seed of 3.14. */
const bigint = (value: number): bigint => BigInt(Math.trunc(value));
const bigints = (values: unknown): bigint[] => Array.from(values as ArrayLike<number>, bigint);
