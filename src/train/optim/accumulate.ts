// Gradient accumulation: sums over several runs of a graph, kept in variables of the session.

import { allowAllToAll } from '../../engine/distributed/collectives.ts';
import { type Shapes, sliceLength, sumToSlices } from '../../engine/distributed/slices.ts';
import type { SumAlgorithm } from '../../engine/distributed/sums.ts';
import { atOneOrigin } from '../../engine/graph/origin.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Tensor, tf } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import type { WeightEntries } from '../../nn/weights.ts';
import { type BatchGradients, SlicedGradients } from './sliced-gradients.ts';

export interface AccumulatorOptions {
  /** Each replica keeps its slices of the sums over all replicas, to which gradients are summed as they come. */
  readonly isSliced: boolean;
  /** The gradients that are added are such slices already. */
  readonly areSummed: boolean;
  readonly allReduce: SumAlgorithm;
}

export class GradientAccumulator {
  readonly #sums: ReadonlyMap<string, Variable>;
  readonly #shapes: Shapes;
  /** Undefined where the sums are whole, of this replica's gradients. */
  readonly #slices: AccumulatorOptions | undefined;

  constructor(runtime: Runtime, prefix: string, entries: WeightEntries, options?: AccumulatorOptions) {
    const { count } = runtime.replicas;
    this.#slices = options?.isSliced ? options : undefined;
    this.#shapes = new Map([...entries].map(([name, { spec }]) => [name, spec.shape]));
    const shapeOf = (shape: readonly number[]) => (this.#slices ? [sliceLength(shape, count)] : shape);
    this.#sums = new Map(
      [...this.#shapes].map(([name, shape]) => [
        name,
        runtime.variable(`${prefix}/sum/${name}`, shapeOf(shape)),
      ]),
    );
  }

  /** Whether the sums are those over all replicas already. */
  get isSliced(): boolean {
    return this.#slices !== undefined;
  }

  /** Sets all sums to 0; inside a compiled function, as all methods. */
  clear(): void {
    atOneOrigin(() => {
      for (const variable of this.#sums.values()) setToZero(variable);
    });
  }

  /** Adds gradients to their sums; names may be missing, of slices at all replicas alike. */
  add(gradients: ReadonlyMap<string, Tensor>): void {
    atOneOrigin(() => {
      for (const [name, gradient] of this.#own(gradients)) this.#sums.get(name)?.add(gradient);
    });
  }

  #own(gradients: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
    if (!this.#slices || this.#slices.areSummed) return gradients;
    allowAllToAll();
    return sumToSlices(gradients, this.#slices.allReduce);
  }

  /** The sums by parameter name. */
  read(): ReadonlyMap<string, Tensor> {
    return atOneOrigin(() => new Map([...this.#sums].map(([name, variable]) => [name, variable.read()])));
  }

  /** The sums of a batch, where they are sliced. */
  readSlices(): BatchGradients {
    return SlicedGradients.of(this.read(), this.#shapes, this.#slices?.allReduce ?? 'order');
  }
}

/** Sets a variable to 0; inside a compiled function. */
export const setToZero = (variable: Variable): void => void variable.assign(tf.fill([...variable.shape], 0));
