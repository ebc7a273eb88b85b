// Tensors of other programs, read one by one, and their elements in our order.

import { ELEMENT_TYPES, type TensorArray, type TensorData, type TensorType } from '../checkpoint/dtype.ts';
import { widen } from '../checkpoint/half.ts';
import type { TensorSource } from '../checkpoint/safetensors.ts';
import { DataError } from '../util/errors.ts';

/** A tensor of another program, read when its turn comes. */
export interface ExternalTensor {
  /** A type of checkpoints, or the name of another one, whose elements cannot be read. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** The elements, row-major. @throws DataError when the file is damaged or mm lacks the type */
  read(): Promise<TensorData>;
  /** `count` rows, the first of which is `start`. */
  rows(start: number, count: number): ExternalTensor;
}
export type StateDict = ReadonlyMap<string, ExternalTensor>;

/** A tensor whose elements `read` gives. */
export function externalTensor(
  dtype: string,
  shape: readonly number[],
  read: () => Promise<TensorData>,
): ExternalTensor {
  const rows = (start: number, count: number): ExternalTensor => {
    const part = [count, ...shape.slice(1)];
    const size = elements(shape.slice(1));
    return externalTensor(dtype, part, async () => {
      const { dtype, data } = await read();
      return { dtype, shape: part, data: data.subarray(start * size, (start + count) * size) as TensorArray };
    });
  };
  return { dtype, shape, read, rows };
}

/** Tensors as they came, of the types that checkpoints hold; the others are left out. */
export function asTheyCame(tensors: StateDict): [name: string, source: TensorSource][] {
  return [...tensors].flatMap(([name, tensor]) => {
    const { dtype, shape } = tensor;
    if (!Object.hasOwn(ELEMENT_TYPES, dtype)) return [];
    return [[name, { dtype: dtype as TensorType, shape, data: async () => (await tensor.read()).data }]];
  });
}

const FLOATS: readonly string[] = ['float32', 'float16', 'bfloat16', 'float64'];
/** Whether the elements are floating-point numbers of a type that mm reads. */
export const isFloat = ({ dtype }: ExternalTensor): boolean => FLOATS.includes(dtype);

/** The type in which a weight is stored: its own; float32 where it was float64, or parts have different types. */
export function storedType(parts: readonly ExternalTensor[]): TensorType {
  const [type, ...others] = new Set(parts.map(({ dtype }) => dtype as TensorType));
  return type === undefined || type === 'float64' || others.length > 0 ? 'float32' : type;
}

export async function toFloat32(tensor: ExternalTensor): Promise<Float32Array> {
  const { data } = widen(await tensor.read());
  return data instanceof Float32Array ? data : Float32Array.from(data as Float64Array);
}

/** The sum of tensors of one shape, in float32. */
export const sumOf = (parts: readonly [ExternalTensor, ...ExternalTensor[]]): TensorSource => ({
  dtype: 'float32',
  shape: parts[0].shape,
  data: async () => {
    const [first, ...others] = await Promise.all(parts.map(toFloat32));
    return (first as Float32Array).map((value, i) => others.reduce((sum, { [i]: x = 0 }) => sum + x, value));
  },
});

/** Several tensors one after the other, in their stored type. */
export async function joined(parts: readonly ExternalTensor[]): Promise<TensorArray> {
  const type = storedType(parts);
  const read = async (part: ExternalTensor): Promise<TensorArray> =>
    part.dtype === type ? (await part.read()).data : toFloat32(part);
  if (parts.length === 1) return read(parts[0] as ExternalTensor);
  const all = new ELEMENT_TYPES[type].array(parts.reduce((sum, { shape }) => sum + elements(shape), 0));
  let at = 0;
  for (const part of parts) {
    const data = await read(part);
    (all as Float32Array).set(data as Float32Array, at);
    at += data.length;
  }
  return all;
}

export const elements = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** @param model with its article, for the message: `a CLIP` */
export const misfit = (what: string, where: string, model = 'a CLIP'): DataError =>
  new DataError(`not the weights of such ${model}: ${what}`, {
    code: 'E_WEIGHTS_MISMATCH',
    where,
    fix: 'check that the file is whole, and that its configuration is its own',
  });
