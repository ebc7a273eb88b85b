// What a configuration takes with each way to recompute activations, and the fastest that fits in memory.

import { RECOMPUTES, type Recompute, type Sharding } from '../../config/fields.ts';
import type { ModelKind } from '../../config/kind.ts';

/**
 * Share of a device's memory that a plan may take: it counts neither the program, nor its data, nor what ops need for
 * themselves.
 */
const SHARE = 0.5;

/**
 * Those that a run takes where nothing else is given, from the fastest on. Divided weights are gathered where a layer is
 * computed again. A CLIP's step is no faster with `none` (docs/LOG.md), which takes more memory.
 */
export function choicesOf(kind: ModelKind, sharding: Sharding, devices: number): readonly Recompute[] {
  if (sharding === 'parameters' && devices > 1) return ['full'];
  return kind === 'clip' ? ['light', 'full'] : RECOMPUTES;
}

/**
 * The first of `choices` that fits, or the last.
 * @param bytesWith bytes that are planned for a device
 * @param memory bytes that it has
 */
export const fastestThatFits = (
  choices: readonly Recompute[],
  bytesWith: (recompute: Recompute) => number,
  memory: number,
): Recompute =>
  choices.slice(0, -1).find((recompute) => bytesWith(recompute) <= SHARE * memory) ??
  (choices.at(-1) as Recompute);
