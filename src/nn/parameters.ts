// Named parameter trees. A layer declares what it needs as a tree of specs; a forward function takes the
// same tree with tensors in place of the specs. Names join with dots into the checkpoint's tensor names.

import type { Tensor } from '../engine/tf.ts';

export type Initializer =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'normal'; readonly stddev: number }
  | { readonly kind: 'uniform'; readonly limit: number };

/** One array of a model. */
export class ParameterSpec {
  readonly shape: readonly number[];
  readonly init: Initializer;
  /** Whether decoupled weight decay applies: matrices and kernels yes, gains, biases and embeddings as the paper says. */
  readonly decay: boolean;
  /** Whether the optimizer changes it; running statistics are kept up by the train step instead. */
  readonly trained: boolean;

  constructor(shape: readonly number[], init: Initializer, decay: boolean, trained = true) {
    this.shape = shape;
    this.init = init;
    this.decay = decay;
    this.trained = trained;
  }
}

export interface SpecTree {
  readonly [name: string]: ParameterSpec | SpecTree;
}

/** The tree of `S` with `Leaf` in place of each spec. */
export type Parameters<S, Leaf = Tensor> = {
  readonly [K in keyof S]: S[K] extends ParameterSpec ? Leaf : Parameters<S[K], Leaf>;
};

export const normal = (shape: readonly number[], stddev: number, decay = true): ParameterSpec =>
  new ParameterSpec(shape, { kind: 'normal', stddev }, decay);
export const uniform = (shape: readonly number[], limit: number, decay = true): ParameterSpec =>
  new ParameterSpec(shape, { kind: 'uniform', limit }, decay);
export const constant = (shape: readonly number[], value: number): ParameterSpec =>
  new ParameterSpec(shape, { kind: 'constant', value }, false);

/** A running statistic: saved with the weights, and no parameter to train. */
export const statistic = (shape: readonly number[], value: number): ParameterSpec =>
  new ParameterSpec(shape, { kind: 'constant', value }, false, false);

/** [name, spec] for each leaf, in declaration order; names are joined with dots. */
export function flatten(tree: SpecTree, prefix = ''): [string, ParameterSpec][] {
  return Object.entries(tree).flatMap(([name, node]): [string, ParameterSpec][] =>
    node instanceof ParameterSpec ? [[prefix + name, node]] : flatten(node, `${prefix}${name}.`),
  );
}

/** Puts `leaf(name)` where each spec stands. */
export function unflatten<S extends SpecTree, Leaf>(
  tree: S,
  leaf: (name: string) => Leaf,
  prefix = '',
): Parameters<S, Leaf> {
  const result: Record<string, unknown> = {};
  for (const [name, node] of Object.entries(tree)) {
    result[name] =
      node instanceof ParameterSpec ? leaf(prefix + name) : unflatten(node, leaf, `${prefix}${name}.`);
  }
  return result as Parameters<S, Leaf>;
}

/** Number of parameters in the tree. */
export function countParameters(tree: SpecTree): number {
  return flatten(tree).reduce((sum, [, spec]) => sum + spec.shape.reduce((a, b) => a * b, 1), 0);
}
