// Layers that save little for the gradient: cheap activations are recomputed (selective activation recomputation,
// arXiv 2205.05198, section 5). And the same layers with all activations saved.

import { recomputed } from '../engine/ops/recompute.ts';
import type { Tensor } from '../engine/tfjs/tf.ts';
import { tensorsOf, withTensors } from './parameters.ts';

/**
 * Calls f and saves only its inputs; the backward pass recomputes f, except tensors that f marked with `checkpointed`
 * and a matrix product at its end, whose value the gradient does not need.
 * @param f has to use x and every tensor of p
 */
export function withoutActivations<P extends object>(
  f: (p: P, x: Tensor, constants: readonly Tensor[]) => Tensor,
  p: P,
  x: Tensor,
  constants: readonly Tensor[] = [],
): Tensor {
  const again: Parameters<typeof recomputed>[0] = (input, tensors, others) =>
    f(withTensors(p, tensors), input, others);
  return recomputed(again, x, tensorsOf(p), constants);
}

/** `withoutActivations` that saves what the gradient of f needs: faster, and larger. */
export const withActivations: typeof withoutActivations = (f, p, x, constants = []) => f(p, x, constants);
