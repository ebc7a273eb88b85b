// Tensors of another program's CLIP, read one by one.

import type { TensorData, TensorType } from '../../checkpoint/dtype.ts';
import { widen } from '../../checkpoint/half.ts';
import { DataError } from '../../util/errors.ts';

/** A tensor of another program, read when its turn comes. */
export interface ExternalTensor {
  readonly dtype: TensorType;
  readonly shape: readonly number[];
  read(): Promise<TensorData>;
}
export type StateDict = ReadonlyMap<string, ExternalTensor>;

export async function toFloat32(tensor: ExternalTensor): Promise<Float32Array> {
  const { data } = widen(await tensor.read());
  return data instanceof Float32Array ? data : Float32Array.from(data as Float64Array);
}

/** Several tensors one after the other. */
export async function joined(parts: readonly ExternalTensor[]): Promise<Float32Array> {
  if (parts.length === 1) return toFloat32(parts[0] as ExternalTensor);
  const arrays = await Promise.all(parts.map(toFloat32));
  const all = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}

export const elements = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

const WRONG = {
  fix: 'check that the file is whole, and that its configuration is its own',
} as const;

export const misfit = (what: string, where: string): DataError =>
  new DataError(`not the weights of such a CLIP: ${what}`, { code: 'E_WEIGHTS_MISMATCH', where, ...WRONG });
