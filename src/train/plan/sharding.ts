// What ZeRO's ways to divide a model among devices (arXiv 1910.02054) cost.

import type { Sharding } from '../../config/fields.ts';
import type { SumAlgorithm } from '../../engine/distributed/sums.ts';

/**
 * Values of all parameters that a device sends in an update, next to (devices − 1) / devices (section 7): gradients to
 * their sums, and sums or new weights to all; sharded weights are gathered for the forward and the backward pass. By
 * `order`, whole gradients are gathered for their norm.
 */
export function sends(sharding: Sharding, allReduce: SumAlgorithm): number {
  if (sharding === 'none') return 2;
  return (sharding === 'parameters' ? 3 : 2) + (allReduce === 'order' ? 1 : 0);
}

/** Values that a device holds for each parameter that it updates: moments, and its slice of weights that it has whole. */
export const momentCopies = (sharding: Sharding): number =>
  sharding === 'optimizer' || sharding === 'gradients' ? 3 : 2;
