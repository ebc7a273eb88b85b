// The gradient of a scalar with respect to named parameters, together with what else was computed on the way.

import { type Scalar, type Tensor, tf } from '../../engine/tfjs/tf.ts';
import type { WeightEntries } from '../../nn/weights.ts';

/**
 * Inside a compiled function. The loss has to depend on every trained entry; running statistics are read as they are.
 * @param loss of the parameters, which it reads by name; gives the scalar to differentiate under `loss`, and
 *   others to report
 * @param scale of the loss that is differentiated (loss-scale.ts); the gradients have it, the values do not
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
