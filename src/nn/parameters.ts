// Named parameter trees. A layer declares its parameters as a tree of specs; a forward function takes the same tree
// with tensors instead of specs. Names joined with dots are the checkpoint's tensor names.

import type { Tensor } from '../engine/tfjs/tf.ts';
import { sizeOf } from '../util/shape.ts';

export type Initializer =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'normal'; readonly stddev: number }
  | { readonly kind: 'uniform'; readonly limit: number };

/** One array of a model. */
export class ParameterSpec {
  readonly shape: readonly number[];
  readonly init: Initializer;
  /**
   * Whether weight decay applies: to matrices and kernels, not to gains and biases, to embeddings as the paper says.
   */
  readonly decay: boolean;
  /** Whether the optimizer updates it; running statistics are updated by the train step. */
  readonly trained: boolean;

  constructor(shape: readonly number[], init: Initializer, decay: boolean, trained = true) {
    this.shape = shape;
    this.init = init;
    this.decay = decay;
    this.trained = trained;
  }
}

/** A part that a configuration does not have may be undefined. */
export interface SpecTree {
  readonly [name: string]: ParameterSpec | SpecTree | undefined;
}

/** The tree of `S` with `Leaf` instead of each spec. */
export type Parameters<S, Leaf = Tensor> = {
  readonly [K in keyof S]: NonNullable<S[K]> extends ParameterSpec ? Leaf : Parameters<S[K], Leaf>;
};

export const normal = (shape: readonly number[], stddev: number, decay = true): ParameterSpec =>
  new ParameterSpec(shape, { kind: 'normal', stddev }, decay);
export const uniform = (shape: readonly number[], limit: number, decay = true): ParameterSpec =>
  new ParameterSpec(shape, { kind: 'uniform', limit }, decay);
export const constant = (shape: readonly number[], value: number): ParameterSpec =>
  new ParameterSpec(shape, { kind: 'constant', value }, false);

/** A running statistic: saved with the weights, not trained. */
export const statistic = (shape: readonly number[], value: number): ParameterSpec =>
  new ParameterSpec(shape, { kind: 'constant', value }, false, false);

/** The specs `prefix_1` … `prefix_count`. @param make the spec of layer `index`, counted from 0 */
export const stackSpecs = <P extends string, S>(
  prefix: P,
  count: number,
  make: (index: number) => S,
): { readonly [layer in `${P}_${number}`]: S } =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`${prefix}_${index + 1}`, make(index)]),
  ) as { readonly [layer in `${P}_${number}`]: S };

/** [name, spec] for each leaf, in declaration order; names are joined with dots. */
export function flatten(tree: SpecTree, prefix = ''): [string, ParameterSpec][] {
  return Object.entries(tree).flatMap(([name, node]): [string, ParameterSpec][] => {
    if (node === undefined) return [];
    return node instanceof ParameterSpec ? [[prefix + name, node]] : flatten(node, `${prefix}${name}.`);
  });
}

/** The tree with `leaf(name)` instead of each spec. */
export function unflatten<S extends SpecTree, Leaf>(
  tree: S,
  leaf: (name: string) => Leaf,
  prefix = '',
): Parameters<S, Leaf> {
  const result: Record<string, unknown> = {};
  for (const [name, node] of Object.entries(tree)) {
    if (node === undefined) continue;
    result[name] =
      node instanceof ParameterSpec ? leaf(prefix + name) : unflatten(node, leaf, `${prefix}${name}.`);
  }
  return result as Parameters<S, Leaf>;
}

/** Number of parameters in the tree. */
export function countParameters(tree: SpecTree): number {
  return flatten(tree).reduce((sum, [, spec]) => sum + sizeOf(spec.shape), 0);
}

/** A tree whose leaves are tensors. */
type TensorTree = { readonly [name: string]: Tensor | TensorTree | undefined };

const isTensor = (node: unknown): node is Tensor => typeof (node as Tensor).dataId === 'object';

/** The tensors of a tree, in its order. */
export function tensorsOf(tree: object): Tensor[] {
  return Object.values(tree as TensorTree).flatMap((node) => {
    if (node === undefined) return [];
    return isTensor(node) ? [node] : tensorsOf(node);
  });
}

/** The same tree with other tensors, given in its order. */
export function withTensors<T extends object>(tree: T, tensors: readonly Tensor[]): T {
  const left = tensors.values();
  const replace = (node: TensorTree): TensorTree =>
    Object.fromEntries(
      Object.entries(node).flatMap(([name, child]) => {
        if (child === undefined) return [];
        return [[name, isTensor(child) ? (left.next().value as Tensor) : replace(child)]];
      }),
    );
  return replace(tree as TensorTree) as T;
}
