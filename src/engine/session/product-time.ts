// How long products take on this device in a precision.

import type { Precision } from '../graph/precision.ts';
import { type Tensor, type Tensor2D, tf } from '../tfjs/tf.ts';
import type { Runtime } from './runtime.ts';

/** Rows and columns: 2 GFLOP, some 10 ms of a processor core. */
const SIZE = 1024;
const RUNS = 4;

/**
 * Milliseconds of a product of two matrices of 1024 × 1024, with the casts from float32 and back: the least of a few.
 * @throws UsageError E_PRECISION_UNSUPPORTED where oneDNN is held to instructions that have none in the precision
 */
export async function productMilliseconds(runtime: Runtime, precision: Precision): Promise<number> {
  const x = { dtype: 'float32', shape: [SIZE, SIZE], data: new Float32Array(SIZE ** 2).fill(1) } as const;
  const multiply = runtime.compile(
    `time of a product in ${precision}`,
    ({ x }: { x: Tensor }) => ({ y: tf.slice(tf.matMul(x as Tensor2D, x as Tensor2D), [0, 0], [1, 1]) }),
    { precision },
  );
  await multiply({ x });
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    await multiply({ x });
    times.push(performance.now() - start);
  }
  return Math.min(...times);
}
