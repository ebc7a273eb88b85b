// Gradients of parts whose activations are not kept: they are computed again when the gradient arrives. TensorFlow
// would merge the second computation with the first, or run it early, if it did not have to wait for the gradient.

import { outputOf, wrapOutput } from './backend.ts';
import { withGradient } from './ops.ts';
import { type Tensor, tf } from './tf.ts';
import { currentTrace, isBuilding } from './trace.ts';

/** x, but not before `awaited` is there. */
export function notBefore(x: Tensor, awaited: Tensor): Tensor {
  if (!isBuilding()) return x.clone();
  const { graph, recording } = currentTrace();
  const identity = graph.identity(outputOf(recording, x), [outputOf(recording, awaited).oper]);
  return wrapOutput(recording, identity);
}

/** What of tfjs's engine takes gradients, and the tape that it would forget. */
interface Taping {
  readonly state: { activeTape: unknown };
  gradients(
    f: () => Tensor,
    inputs: readonly Tensor[],
    dy: Tensor,
  ): { readonly value: Tensor; readonly grads: Tensor[] };
}

/**
 * The value of `f` and the gradients of its inputs under dy, while other gradients are being taken. `f` has to use
 * every input.
 */
export function gradientsWithin(
  f: (x: Tensor, ...others: Tensor[]) => Tensor,
  inputs: readonly [Tensor, ...Tensor[]],
  dy: Tensor,
): { readonly value: Tensor; readonly gradients: Tensor[] } {
  const engine = tf.engine() as unknown as Taping;
  const tape = engine.state.activeTape;
  try {
    const { value, grads } = engine.gradients(() => f(...inputs), inputs, dy);
    return { value, gradients: grads };
  } finally {
    engine.state.activeTape = tape;
  }
}

/**
 * f(x, parameters, constants). Of all that it computes only these are kept for the gradient, which goes to x and the
 * parameters.
 */
export function recomputed(
  f: (x: Tensor, parameters: readonly Tensor[], constants: readonly Tensor[]) => Tensor,
  x: Tensor,
  parameters: readonly Tensor[],
  constants: readonly Tensor[],
): Tensor {
  const count = parameters.length;
  return withGradient(
    (save, ...inputs) => {
      const [first, ...rest] = inputs.slice(0, 1 + count) as [Tensor, ...Tensor[]];
      save([first, ...rest, ...constants]);
      return {
        value: f(first, rest, constants),
        gradFunc: (dy, saved) => {
          const [kept, ...keptRest] = saved as [Tensor, ...Tensor[]];
          const keptConstants = keptRest.slice(count);
          return gradientsWithin(
            (again, ...others) => f(again, others, keptConstants),
            [notBefore(kept, dy), ...keptRest.slice(0, count)],
            dy,
          ).gradients;
        },
      };
    },
    x,
    ...parameters,
  );
}
