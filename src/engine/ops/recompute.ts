// Activation checkpointing (recomputation): the activations of a function are dropped and computed again in the
// backward pass. A control dependency on the gradient keeps TensorFlow from merging the two computations or running the
// second one early.

import { outputOf, wrapOutput } from '../tfjs/backend.ts';
import { type Tensor, tf } from '../tfjs/tf.ts';
import { currentTrace, isBuilding } from '../tfjs/trace.ts';
import { withGradient } from './gradient.ts';

/** x, available only after `awaited` has been computed. */
export function withControlDependency(x: Tensor, awaited: Tensor): Tensor {
  if (!isBuilding()) return x.clone();
  const { graph, recording } = currentTrace();
  const identity = graph.identity(outputOf(recording, x), [outputOf(recording, awaited).oper]);
  return wrapOutput(recording, identity);
}

/** The members of tfjs's engine that take gradients. A nested call would lose the active tape. */
interface GradientEngine {
  readonly state: { activeTape: unknown };
  gradients(
    f: () => Tensor,
    inputs: readonly Tensor[],
    dy: Tensor,
  ): { readonly value: Tensor; readonly grads: Tensor[] };
}

/**
 * The value of `f` and the gradients of its inputs for the output gradient dy, callable inside a gradient function.
 * `f` must use every input.
 */
export function gradientsWithin(
  f: (x: Tensor, ...others: Tensor[]) => Tensor,
  inputs: readonly [Tensor, ...Tensor[]],
  dy: Tensor,
): { readonly value: Tensor; readonly gradients: Tensor[] } {
  const engine = tf.engine() as unknown as GradientEngine;
  const tape = engine.state.activeTape;
  try {
    const { value, grads } = engine.gradients(() => f(...inputs), inputs, dy);
    return { value, gradients: grads };
  } finally {
    engine.state.activeTape = tape;
  }
}

/** The tensors of one function that `checkpointed` saved, in the order of their creation. */
interface Saved {
  readonly tensors: Tensor[];
  /** True in the backward pass: tensors are read, not added. */
  readonly isReplay: boolean;
  /** Tensors read so far. */
  read: number;
}

let current: Saved | undefined;

function withSaved<T>(saved: Saved, body: () => T): T {
  const outer = current;
  current = saved;
  try {
    return body();
  } finally {
    current = outer;
  }
}

/**
 * Returns `make()`. Inside `recomputed`, the value from the forward pass is reused instead of recomputed. No gradient
 * flows through it; use it inside `withGradient` only.
 */
export function checkpointed(make: () => Tensor): Tensor {
  if (!current) return make();
  if (current.isReplay) return (current.tensors[current.read++] as Tensor).clone();
  const made = tf.keep(make());
  current.tensors.push(made);
  return made.clone();
}

/**
 * x with its gradient. Inside `recomputed`, its value from the forward pass is reused, and what only the value needs is
 * not computed again.
 */
export const checkpointedValue = (x: Tensor): Tensor =>
  withGradient(
    (_save, input) => ({ value: checkpointed(() => (input as Tensor).clone()), gradFunc: (dy) => [dy] }),
    x,
  );

/**
 * Calls f and saves only its inputs, plus the tensors f marked with `checkpointed` or `checkpointedValue`; the backward
 * pass runs f again. x and the parameters receive gradients, the constants none. f must use all of them.
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
      const value = withSaved({ tensors, isReplay: false, read: 0 }, () => f(first, rest, constants));
      save([first, ...rest, ...constants, ...tensors]);
      for (const tensor of tensors) tensor.dispose();
      return {
        value,
        gradFunc: (dy, saved) => {
          const [savedX, ...others] = saved as [Tensor, ...Tensor[]];
          const savedConstants = others.slice(count, count + constants.length);
          const replay = { tensors: others.slice(count + constants.length), isReplay: true, read: 0 };
          return gradientsWithin(
            (input, ...own) => withSaved(replay, () => f(input, own, savedConstants)),
            [withControlDependency(savedX, dy), ...others.slice(0, count)],
            dy,
          ).gradients;
        },
      };
    },
    x,
    ...parameters,
  );
}
