// All-reduce of the gradients that each worker has summed in its session: exact sums, or sums of low rank (PowerSGD).

import type { Cluster } from '../../cluster/cluster.ts';
import type { Compiled, OnHost } from '../../engine/session/compiled.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Tensor } from '../../engine/tfjs/tf.ts';
import type { GradientAccumulator } from '../optim/accumulate.ts';
import type { PowerSgd } from './power-sgd.ts';

type Inputs = Record<string, Tensor>;
type Gradients = ReadonlyMap<string, Tensor>;

export interface AllReduceOptions {
  readonly cluster: Cluster;
  /** The sums of this worker; set to 0 once they are sent. */
  readonly sums: GradientAccumulator;
  readonly compression?: PowerSgd | undefined;
}

/** Prefixes of tensors that go from one compiled function to the next through the host. */
const SUM = 'sum of ';
const FACTOR = 'factor of ';

export class AllReduce {
  readonly #options: AllReduceOptions;
  readonly #project: Compiled<Inputs, Inputs>;
  readonly #refine: Compiled<Inputs, Inputs>;

  /** @param name for error messages */
  constructor(runtime: Runtime, name: string, options: AllReduceOptions) {
    this.#options = options;
    const { sums, compression } = options;
    this.#project = runtime.compile(`${name} gradients of a worker`, () => {
      const own = sums.read();
      const sent = compression ? compression.project(own) : own;
      if (!compression) sums.clear();
      return withPrefix(SUM, sent);
    });
    this.#refine = runtime.compile(`${name} gradients of a worker, refined`, (inputs) => {
      const refined = compression?.refine(sums.read(), withoutPrefix(SUM, inputs)) ?? new Map();
      sums.clear();
      return withPrefix(FACTOR, refined);
    });
  }

  /** Sums over the workers; returns the inputs of the compiled function that calls `gradients`. */
  async run(): Promise<OnHost<Inputs>> {
    const { compression } = this.#options;
    const sums = await this.#sum(await this.#project({}));
    return compression ? { ...sums, ...(await this.#sum(await this.#refine(sums))) } : sums;
  }

  /** The gradients to apply, by parameter name; inside a compiled function. */
  gradients(inputs: Inputs): Gradients {
    const { compression } = this.#options;
    const sums = withoutPrefix(SUM, inputs);
    return compression ? compression.restore(sums, withoutPrefix(FACTOR, inputs)) : sums;
  }

  async #sum(tensors: OnHost<Inputs>): Promise<OnHost<Inputs>> {
    await this.#options.cluster.allReduceSum(Object.values(tensors).map(({ data }) => data as Float32Array));
    return tensors;
  }
}

const withPrefix = (prefix: string, tensors: Gradients): Inputs =>
  Object.fromEntries([...tensors].map(([name, tensor]) => [prefix + name, tensor]));

const withoutPrefix = (prefix: string, inputs: Inputs): Gradients =>
  new Map(
    Object.entries(inputs).flatMap(([name, tensor]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), tensor] as const] : [],
    ),
  );
