// Ops with a gradient written by hand. tfjs would differentiate a composed op step by step and save every intermediate.

import { type Tensor, tf } from '../tfjs/tf.ts';

/** Keeps tensors for the backward pass. */
type Save = (tensors: Tensor[]) => void;

/**
 * `tf.customGrad` with stricter types.
 * @param f returns the value and `gradFunc`, which maps the gradient dy of the value to the gradients of the inputs;
 *   every tensor that `gradFunc` reads, inputs included, must be passed to `save`
 */
export function withGradient<T extends Tensor>(
  f: (
    save: Save,
    ...inputs: Tensor[]
  ) => { value: Tensor; gradFunc: (dy: Tensor, saved: Tensor[]) => Tensor[] },
  ...inputs: Tensor[]
): T {
  const op = tf.customGrad((...args) =>
    f(args[args.length - 1] as unknown as Save, ...(args.slice(0, -1) as Tensor[])),
  );
  return op(...inputs) as T;
}

/** The gradient of an integer input: zeros, because tfjs requires a tensor for every input. */
export const noGradient = (tensor: Tensor): Tensor => tf.zeros(tensor.shape, 'int32');

/** Returns x; multiplies its gradient by `factor` in the backward pass. */
export function scaledGradient(x: Tensor, factor: number): Tensor {
  return withGradient(
    (_save, input) => ({ value: (input as Tensor).clone(), gradFunc: (dy) => [dy.mul(factor)] }),
    x,
  );
}

/** Whether ops are recorded for differentiation now: in the forward part of a train step. */
export const isDifferentiating = (): boolean =>
  (tf.engine() as unknown as { state: { gradientDepth: number } }).state.gradientDepth > 0;
