// Whether 16 bits make training faster on this device: not on processors that multiply float32 as fast or faster.

import type { Precision } from '../engine/graph/precision.ts';
import { productMilliseconds } from '../engine/session/product-time.ts';
import type { Runtime } from '../engine/session/runtime.ts';

/** Of float32's time; above the noise of a shared machine. */
const SLOWER = 1.1;

/** What to say where products in the precision take longer than float32's. */
export function precisionAdvice(precision: Precision, own: number, float32: number): string | undefined {
  if (own < SLOWER * float32) return undefined;
  const times = (own / float32).toFixed(1);
  return `products in ${precision} take ${times} times as long as in float32 here: train.precision float32 trains faster`;
}

/** `precisionAdvice` of this device, measured in some 0.2 seconds. */
export async function measuredPrecisionAdvice(
  runtime: Runtime,
  precision: Precision,
): Promise<string | undefined> {
  if (precision === 'float32') return undefined;
  const own = await productMilliseconds(runtime, precision);
  return precisionAdvice(precision, own, await productMilliseconds(runtime, 'float32'));
}
