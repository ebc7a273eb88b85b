// Scalars between the host and compiled functions.

import type { HostTensor } from '../../engine/native/tensor.ts';
import type { NamedTensors, OnHost } from '../../engine/session/compiled.ts';
import { graphSeed } from '../../util/random.ts';

/** The key of a step's random numbers, int32[2]. */
export const stepKey = (seed: number, step: number): HostTensor => ({
  dtype: 'int32',
  shape: [2],
  data: graphSeed(seed, 'step', step),
});

/** The results of a compiled function, all scalars, as numbers. */
export function numbers<T extends NamedTensors>(results: OnHost<T>): { [K in keyof T]: number } {
  return Object.fromEntries(
    Object.entries(results).map(([name, tensor]) => [name, Number((tensor as HostTensor).data[0])]),
  ) as {
    [K in keyof T]: number;
  };
}
