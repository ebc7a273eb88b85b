// Helpers of the engine's tests: tensors from numbers, and one function run eagerly and recorded.

import assert from 'node:assert/strict';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import type { CompileOptions } from '../../src/engine/session/compiled.ts';
import type { Runtime } from '../../src/engine/session/runtime.ts';
import { useTensorFlow } from '../../src/engine/tfjs/backend.ts';
import { type Tensor, tf } from '../../src/engine/tfjs/tf.ts';
import { RandomStream } from '../../src/util/random.ts';
import { sizeOf } from '../../src/util/shape.ts';

useTensorFlow();

/** float32 numbers on the host. */
export const floats = (shape: readonly number[], data: ArrayLike<number>): HostTensor => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from(data),
});

export const integers = (shape: readonly number[], data: ArrayLike<number>): HostTensor => ({
  dtype: 'int32',
  shape,
  data: Int32Array.from(data),
});

/** Normal random numbers on the host; the same `key` gives the same numbers. */
export function normals(shape: readonly number[], key: string, stddev = 1): HostTensor {
  const random = new RandomStream('engine tests', key);
  return floats(
    shape,
    Array.from({ length: sizeOf(shape) }, () => stddev * random.normal()),
  );
}

export const eager = ({ data, shape, dtype }: HostTensor): Tensor =>
  tf.tensor(data as Float32Array, [...shape], dtype as 'float32');

export const onHost = (tensor: Tensor): HostTensor => ({
  dtype: tensor.dtype as 'float32',
  shape: tensor.shape,
  data: tensor.dataSync() as Float32Array,
});

type Body = (...inputs: Tensor[]) => Tensor | Tensor[];

export function runEagerly(body: Body, inputs: readonly HostTensor[]): HostTensor[] {
  const results = tf.tidy(() => [body(...inputs.map(eager))].flat());
  return results.map(onHost);
}

/** Runs `body` as a compiled function. */
export async function runRecorded(
  runtime: Runtime,
  name: string,
  body: Body,
  inputs: readonly HostTensor[],
  options?: CompileOptions,
): Promise<HostTensor[]> {
  const compiled = runtime.compile(
    name,
    (feeds: Record<string, Tensor>) => Object.fromEntries([body(...Object.values(feeds))].flat().entries()),
    options,
  );
  const results = await compiled(Object.fromEntries(inputs.map((input, i) => [`input${i}`, input])));
  return Object.values(results);
}

/** The largest absolute difference, divided by the largest expected number where that is above 1. */
export function difference(actual: HostTensor, expected: HostTensor): number {
  assert.deepEqual(actual.shape, expected.shape);
  const [a, b] = [Array.from(actual.data, Number), Array.from(expected.data, Number)];
  assert.equal(a.length, b.length);
  const scale = b.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  return a.reduce(
    (most, value, i) => Math.max(most, value === b[i] ? 0 : Math.abs(value - b[i]!) / scale),
    0,
  );
}

export function assertNear(actual: HostTensor, expected: HostTensor, tolerance: number): void {
  assert.equal(actual.dtype, expected.dtype);
  const far = difference(actual, expected);
  assert.ok(
    far <= tolerance,
    `differs by ${far}: ${actual.data.slice(0, 8)} against ${expected.data.slice(0, 8)}`,
  );
}
