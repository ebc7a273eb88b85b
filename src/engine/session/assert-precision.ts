// Whether the device has products of 16 bits.

import { UsageError } from '../../util/errors.ts';
import type { Precision } from '../graph/precision.ts';
import { type Tensor, type Tensor2D, tf } from '../tfjs/tf.ts';
import type { Runtime } from './runtime.ts';

const SIZE = 4;

/** @throws UsageError E_PRECISION_UNSUPPORTED where a product in the precision fails or is wrong */
export async function assertPrecision(runtime: Runtime, precision: Precision): Promise<void> {
  if (precision === 'float32') return;
  const weight = runtime.variable(`${precision} probe`, [SIZE, SIZE], precision);
  const set = runtime.compile('precision probe: set', ({ x }: { x: Tensor }) => {
    weight.assign(x);
    return {};
  });
  const multiply = runtime.compile(
    'precision probe',
    ({ x }: { x: Tensor }) => ({ y: tf.matMul(x as Tensor2D, weight.read() as Tensor2D) }),
    { precision },
  );
  const ones = { dtype: 'float32', shape: [SIZE, SIZE], data: new Float32Array(SIZE ** 2).fill(1) } as const;
  const fail = (cause?: unknown): UsageError =>
    new UsageError(`this device has no products in ${precision}`, {
      code: 'E_PRECISION_UNSUPPORTED',
      option: 'precision',
      fix: 'leave `precision` out, for float32',
      cause,
    });
  await set({ x: ones });
  const { y } = await multiply({ x: ones }).catch((cause: unknown) => {
    throw fail(cause);
  });
  if (!y.data.every((value) => Number(value) === SIZE)) throw fail();
}
