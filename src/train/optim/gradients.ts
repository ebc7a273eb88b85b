// The gradient of a loss with respect to named parameters, with other values computed on the way.

import { type Scalar, type Tensor, tf } from '../../engine/tfjs/tf.ts';
import type { WeightEntries } from '../../nn/weights.ts';

/**
 * Differentiates a loss; inside a compiled function. Running statistics among the entries are read, not differentiated.
 * @param entries the loss must depend on every trained one
 * @param loss computes the values from the parameters, which it reads by name; `loss` among them is differentiated
 * @param scale multiplies the loss before it is differentiated (loss-scale.ts), and so the gradients, not the values
 * @returns the values, and the gradients by parameter name
 */
export function valueAndGradients<T extends { readonly loss: Scalar }>(
  entries: WeightEntries,
  loss: (parameter: (name: string) => Tensor) => T,
  scale?: Scalar,
): { readonly values: T; readonly gradients: ReadonlyMap<string, Tensor> } {
  const names = [...entries].flatMap(([name, { spec }]) => (spec.trained ? [name] : []));
  const read = (name: string): Tensor => entries.get(name)?.variable.read() as Tensor;
  const tensors = names.map(read);
  let values: T | undefined;
  const { grads } = tf.valueAndGrads((...parameters: Tensor[]) => {
    const byName = new Map(names.map((name, i) => [name, parameters[i] as Tensor]));
    values = loss((name) => byName.get(name) ?? read(name));
    for (const value of Object.values(values)) tf.keep(value as Tensor);
    return scale ? (tf.mul(values.loss, scale) as Scalar) : values.loss;
  })(tensors);
  return { values: values as T, gradients: new Map(names.map((name, i) => [name, grads[i] as Tensor])) };
}
