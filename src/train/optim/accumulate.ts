// Gradient accumulation: sums over several runs of a graph, kept in variables of the session.

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

  /** Sets all sums to 0; inside a compiled function, as all methods. */
  clear(): void {
    for (const variable of this.#sums.values()) setToZero(variable);
  }

  /** Adds gradients to their sums; names may be missing. */
  add(gradients: ReadonlyMap<string, Tensor>): void {
    for (const [name, gradient] of gradients) this.#sums.get(name)?.add(gradient);
  }

  /** The sums by parameter name. */
  read(): ReadonlyMap<string, Tensor> {
    return new Map([...this.#sums].map(([name, variable]) => [name, variable.read()]));
  }
}

/** Sets a variable to 0; inside a compiled function. */
export const setToZero = (variable: Variable): void => void variable.assign(tf.fill([...variable.shape], 0));
