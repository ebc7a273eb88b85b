// What a configuration takes with each way to recompute activations, and the fastest that fits in memory.

import { RECOMPUTES, type Recompute, type Sharding } from '../../config/fields.ts';

/**
 * Share of a device's memory that a plan may take: it counts neither the program, nor its data, nor what ops need for
 * themselves.
 */
const SHARE = 0.5;

/** The ways that a run can take. Divided weights are gathered where a layer is computed again. */
export const recomputesOf = (sharding: Sharding, devices: number): readonly Recompute[] =>
  sharding === 'parameters' && devices > 1 ? ['full'] : RECOMPUTES;

/**
 * The first of `recomputes` that fits, or the last.
 * @param bytesWith bytes that are planned for a device
 * @param memory bytes that it has
 */
export const fastestThatFits = (
  recomputes: readonly Recompute[],
  bytesWith: (recompute: Recompute) => number,
  memory: number,
): Recompute =>
  recomputes.slice(0, -1).find((recompute) => bytesWith(recompute) <= SHARE * memory) ??
  (recomputes.at(-1) as Recompute);
