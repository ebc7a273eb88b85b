// ZeRO's ways to divide a model among devices (arXiv 1910.02054).

/**
 * What the devices divide among themselves besides the batch (ZeRO, arXiv 1910.02054, section 5): nothing, moments and
 * EMA, these and the gradients, or these and the weights.
 */
export const SHARDINGS = ['none', 'optimizer', 'gradients', 'parameters'] as const;
export type Sharding = (typeof SHARDINGS)[number];

/**
 * Values of all parameters that a device sends in an update, next to (devices − 1) / devices (section 7): gradients to
 * their sums, and sums or new weights to all; sharded weights are gathered for the forward and the backward pass.
 */
export const SENDS: Readonly<Record<Sharding, number>> = {
  none: 2,
  optimizer: 2,
  gradients: 2,
  parameters: 3,
};
