// Layers that keep little for the gradient: what is quickly computed is computed again (selective recomputation,
// arXiv 2205.05198, section 5).

import { recomputed } from '../engine/ops/recompute.ts';
import type { Tensor } from '../engine/tfjs/tf.ts';
import { tensorsOf, withTensors } from './parameters.ts';

/**
 * f(p, x, constants), whose gradient keeps these and what f says is `kept`. A product at its end is not computed again:
 * nobody asks for the value then. f has to use x and every tensor of p.
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
