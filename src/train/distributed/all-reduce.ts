// The gradients of all workers from those that each has summed up in its session: their exact sums, or sums of low rank.

import type { Cluster } from '../../cluster/cluster.ts';
import type { Compiled, OnHost } from '../../engine/session/compiled.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Tensor } from '../../engine/tfjs/tf.ts';
import type { GradientAccumulator } from '../optim/accumulate.ts';
import type { PowerSgd } from './power-sgd.ts';

type Named = Record<string, Tensor>;
type Tensors = ReadonlyMap<string, Tensor>;

export interface ExchangeOptions {
  readonly cluster: Cluster;
  /** Of this worker; 0 afterwards. */
  readonly sums: GradientAccumulator;
  readonly compression?: PowerSgd | undefined;
}

/** Before the names of what goes from one function to the next by way of the host. */
const FIRST = 'sum of ';
const SECOND = 'factor of ';

export class GradientExchange {
  readonly #options: ExchangeOptions;
  readonly #first: Compiled<Named, Named>;
  readonly #second: Compiled<Named, Named>;

  /** `name` is for error messages. */
  constructor(runtime: Runtime, name: string, options: ExchangeOptions) {
    this.#options = options;
    const { sums, compression } = options;
    this.#first = runtime.compile(`${name} gradients of a worker`, () => {
      const own = sums.read();
      const sent = compression ? compression.project(own) : own;
      if (!compression) sums.clear();
      return named(FIRST, sent);
    });
    this.#second = runtime.compile(`${name} gradients of a worker, refined`, (inputs) => {
      const refined = compression?.refine(sums.read(), unnamed(FIRST, inputs)) ?? new Map();
      sums.clear();
      return named(SECOND, refined);
    });
  }

  /** Exchanges with the other workers what `gradients` needs; to be fed to the function that calls it. */
  async run(): Promise<OnHost<Named>> {
    const { compression } = this.#options;
    const first = await this.#sum(await this.#first({}));
    return compression ? { ...first, ...(await this.#sum(await this.#second(first))) } : first;
  }

  /** The gradients to apply by the names of the parameters; inside a compiled function. */
  gradients(inputs: Named): Tensors {
    const { compression } = this.#options;
    const first = unnamed(FIRST, inputs);
    return compression ? compression.restore(first, unnamed(SECOND, inputs)) : first;
  }

  async #sum(tensors: OnHost<Named>): Promise<OnHost<Named>> {
    await this.#options.cluster.allReduceSum(Object.values(tensors).map(({ data }) => data as Float32Array));
    return tensors;
  }
}

const named = (prefix: string, tensors: Tensors): Named =>
  Object.fromEntries([...tensors].map(([name, tensor]) => [prefix + name, tensor]));

const unnamed = (prefix: string, inputs: Named): Tensors =>
  new Map(
    Object.entries(inputs).flatMap(([name, tensor]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), tensor] as const] : [],
    ),
  );
