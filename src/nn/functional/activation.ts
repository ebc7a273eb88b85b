// Elementwise activations with their gradients, plain and gated. In training each direction is one op on processors
// (engine/ops/fused.ts), which computes the inner value again; elsewhere the inner value is saved.

import { fused, fuses } from '../../engine/ops/fused.ts';
import { isDifferentiating, withGradient } from '../../engine/ops/gradient.ts';
import type { Tensor } from '../../engine/tfjs/tf.ts';

/** What an activation gives for x, and its derivative there, both from x and an inner value of x. */
export interface ActivationDefinition {
  readonly name: string;
  readonly inner: (x: Tensor) => Tensor;
  readonly value: (x: Tensor, inner: Tensor) => Tensor;
  readonly slope: (x: Tensor, inner: Tensor) => Tensor;
}

export interface Activation {
  (x: Tensor): Tensor;
  /** values · activation(gates), of tensors of one shape (arXiv 2002.05202). */
  gated(values: Tensor, gates: Tensor): Tensor;
}

export function activation({ name, inner, value, slope }: ActivationDefinition): Activation {
  const alone = elementwise(
    name,
    inner,
    ([x], kept) => value(x as Tensor, kept),
    (dy, [x], kept) => [dy.mul(slope(x as Tensor, kept))],
  );
  const gated = elementwise(
    `gated_${name}`,
    inner,
    ([gates, values], kept) => (values as Tensor).mul(value(gates as Tensor, kept)),
    (dy, [gates, values], kept) => [
      dy.mul(values as Tensor).mul(slope(gates as Tensor, kept)),
      dy.mul(value(gates as Tensor, kept)),
    ],
  );
  return Object.assign((x: Tensor) => alone(x), {
    gated: (values: Tensor, gates: Tensor) => gated(gates, values),
  });
}

/** An elementwise function with its gradient, both from its inputs and an inner value of the first of them. */
function elementwise(
  name: string,
  inner: (x: Tensor) => Tensor,
  value: (inputs: readonly Tensor[], kept: Tensor) => Tensor,
  gradient: (dy: Tensor, inputs: readonly Tensor[], kept: Tensor) => Tensor[],
): (...inputs: Tensor[]) => Tensor {
  return (...all) => {
    const count = all.length;
    const keptOf = (saved: readonly Tensor[]): Tensor => saved[count] ?? inner(saved[0] as Tensor);
    return withGradient(
      (save, ...inputs) => {
        const isFused = isDifferentiating() && fuses(inputs);
        const saved = isFused ? inputs : [...inputs, inner(inputs[0] as Tensor)];
        const make = (...own: Tensor[]): Tensor[] => [value(own, keptOf(own))];
        save(saved);
        return {
          value: (isFused ? fused(name, saved, make) : make(...saved))[0] as Tensor,
          gradFunc: (dy, own) =>
            fused(`${name}_gradient`, [dy, ...own], (d, ...tensors) =>
              gradient(d as Tensor, tensors, keptOf(tensors)),
            ),
        };
      },
      ...all,
    );
  };
}
