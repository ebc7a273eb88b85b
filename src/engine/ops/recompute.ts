// Gradients of parts whose activations are not kept: they are computed again when the gradient arrives. TensorFlow
// would merge the second computation with the first, or run it early, if it did not have to wait for the gradient.

import { outputOf, wrapOutput } from '../tfjs/backend.ts';
import { type Tensor, tf } from '../tfjs/tf.ts';
import { currentTrace, isBuilding } from '../tfjs/trace.ts';
import { withGradient } from './gradient.ts';

/** x, but not before `awaited` is there. */
export function withControlDependency(x: Tensor, awaited: Tensor): Tensor {
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

/** Tensors that a function keeps after all, in the order in which it makes them. */
interface Stash {
  readonly tensors: Tensor[];
  /** Taken from, not added to: the function is computed again. */
  readonly isFull: boolean;
  taken: number;
}

let saved: Stash | undefined;

function withStash<T>(own: Stash, body: () => T): T {
  const outer = saved;
  saved = own;
  try {
    return body();
  } finally {
    saved = outer;
  }
}

/**
 * What `make` gives. Within `recomputed` it is kept for the gradient and not made again; no gradient flows through
 * it then, so this is for values inside `withGradient`.
 */
export function checkpointed(make: () => Tensor): Tensor {
  if (!saved) return make();
  if (saved.isFull) return (saved.tensors[saved.taken++] as Tensor).clone();
  const made = tf.keep(make());
  saved.tensors.push(made);
  return made.clone();
}

/**
 * f(x, parameters, constants). Of all that it computes only these, and what is `kept`, stay for the gradient, which
 * goes to x and the parameters. f has to use all of them.
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
      const tensors: Tensor[] = [];
      const value = withStash({ tensors, isFull: false, taken: 0 }, () => f(first, rest, constants));
      save([first, ...rest, ...constants, ...tensors]);
      for (const tensor of tensors) tensor.dispose();
      return {
        value,
        gradFunc: (dy, saved) => {
          const [again, ...others] = saved as [Tensor, ...Tensor[]];
          const keptConstants = others.slice(count, count + constants.length);
          const full = { tensors: others.slice(count + constants.length), isFull: true, taken: 0 };
          return gradientsWithin(
            (input, ...own) => withStash(full, () => f(input, own, keptConstants)),
            [withControlDependency(again, dy), ...others.slice(0, count)],
            dy,
          ).gradients;
        },
      };
    },
    x,
    ...parameters,
  );
}
