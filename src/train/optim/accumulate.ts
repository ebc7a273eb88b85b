// Gradients summed over several runs of a graph, in the session.

import type { Runtime } from '../../engine/session/runtime.ts';
import { type Tensor, tf } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import type { WeightEntries } from '../../nn/weights.ts';

export class GradientAccumulator {
  readonly #sums: ReadonlyMap<string, Variable>;

  constructor(runtime: Runtime, prefix: string, entries: WeightEntries) {
    this.#sums = new Map(
      [...entries].map(([name, { spec }]) => [name, runtime.variable(`${prefix}/sum/${name}`, spec.shape)]),
    );
  }

  /** Sets all sums to 0; inside a compiled function. */
  clear(): void {
    for (const variable of this.#sums.values()) clear(variable);
  }

  /** Inside a compiled function; names may be left out. */
  add(gradients: ReadonlyMap<string, Tensor>): void {
    for (const [name, gradient] of gradients) this.#sums.get(name)?.add(gradient);
  }

  /** Inside a compiled function. */
  read(): ReadonlyMap<string, Tensor> {
    return new Map([...this.#sums].map(([name, variable]) => [name, variable.read()]));
  }
}

/** Sets a variable to 0; inside a compiled function. */
export const clear = (variable: Variable): void => void variable.assign(tf.fill([...variable.shape], 0));
