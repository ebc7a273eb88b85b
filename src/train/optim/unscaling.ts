// Undoes the scale of a loss in its gradients; the loss scales are in loss-scale.ts and block-loss-scale.ts.

import type { Scalar } from '../../engine/tfjs/tf.ts';

/** How to undo the scaling of the loss in a gradient. */
export interface Unscaling {
  /** Whether the gradients are finite, bool; otherwise the weight, its moments and its EMA stay as they are. */
  readonly isApplied: Scalar;
  /** Multiplies the gradient. */
  readonly factor: Scalar;
  /** Updates applied before this one (skipped ones do not count), float32. */
  readonly step: Scalar;
}

/** Calls `make` once for each argument. */
export function memoized<Key, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const made = new Map<Key, Value>();
  return (key) => {
    const value = made.get(key) ?? make(key);
    made.set(key, value);
    return value;
  };
}
