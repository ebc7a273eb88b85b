// The gradient of a scalar with respect to a tree of parameters, together with what else was computed on the way.

import { type Scalar, type Tensor, tf } from '../engine/tf.ts';
import { type Parameters, type SpecTree, unflatten } from '../nn/parameters.ts';
import type { Weights } from '../nn/weights.ts';

/**
 * Inside a compiled function.
 * @param loss gives the scalar to differentiate under `loss`, and others to report
 */
export function valueAndGradients<S extends SpecTree, T extends { readonly loss: Scalar }>(
  weights: Weights<S>,
  loss: (parameters: Parameters<S>) => T,
): { readonly values: T; readonly gradients: Map<string, Tensor> } {
  const names = [...weights.entries.keys()];
  const tensors = names.map((name) => weights.entries.get(name)!.variable.read());
  let values: T | undefined;
  const { grads } = tf.valueAndGrads((...parameters: Tensor[]) => {
    const byName = new Map(names.map((name, i) => [name, parameters[i] as Tensor]));
    values = loss(unflatten(weights.spec, (name) => byName.get(name) as Tensor));
    for (const value of Object.values(values)) tf.keep(value as Tensor);
    return values.loss;
  })(tensors);
  return { values: values as T, gradients: new Map(names.map((name, i) => [name, grads[i] as Tensor])) };
}
