// One update from the equal parts of a batch, as compiled functions: from one part on each device of all workers in one
// run, or by gradient accumulation over several. Gradients are summed over the devices in the graph. Part p of a worker
// is part p mod A of device ⌊p / A⌋, with A parts for each device.

import type { Cluster } from '../../cluster/cluster.ts';
import { eachReplica } from '../../engine/distributed/replicas.ts';
import { sumAllOverReplicas } from '../../engine/distributed/sums.ts';
import type { Examined } from '../../engine/graph/examine.ts';
import { atOneOrigin, inPart } from '../../engine/graph/origin.ts';
import { floatScalar, type HostTensor } from '../../engine/native/tensor.ts';
import type { Compiled, NamedTensors, OnHost } from '../../engine/session/compiled.ts';
import type { OpTime } from '../../engine/session/op-times.ts';
import { compileReplicated, type Replicated } from '../../engine/session/replicated.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Scalar, Tensor } from '../../engine/tfjs/tf.ts';
import type { WeightEntries } from '../../nn/weights.ts';
import { numbers } from '../loop/scalars.ts';
import { GradientAccumulator } from '../optim/accumulate.ts';
import { type BatchGradients, SlicedGradients } from '../optim/sliced-gradients.ts';
import { gatherResults } from './data-parallel.ts';
import type { PowerSgd } from './power-sgd.ts';
import { isSharded } from './sliced-weights.ts';
import { accumulatorFor, type SumOptions, sumAccumulated, sumGradients } from './sum-gradients.ts';

type Gradients = ReadonlyMap<string, Tensor>;
type Values = Readonly<Record<string, Scalar>>;
type Results = Readonly<Record<string, number>>;
export type Rates = Readonly<Record<'step' | 'learningRate', Tensor>>;

export interface BatchUpdateOptions<Part> {
  /** The model, for messages. */
  readonly name: string;
  /** Of the names of variables. */
  readonly prefix: string;
  /** The weights that are trained. */
  readonly trained: WeightEntries;
  readonly train: {
    readonly accumulateSteps: number;
    readonly precision: 'float32' | 'bfloat16' | 'float16';
  } & SumOptions;
  readonly cluster?: Cluster | undefined;
  /** Compresses the gradients that the devices exchange. */
  readonly compression?: PowerSgd | undefined;
  /** Values and gradients of a part; those of the batch are their sums over the parts. */
  gradients(part: Part): { readonly values: Values; readonly gradients: Gradients };
  /**
   * Applies the gradients of the batch; inside a compiled function, once on each device.
   * @param gradients whole, or the device's slices of them (train.sharding)
   * @param isFirst on the first device of this process
   * @returns results of the first device
   */
  update(gradients: BatchGradients, rates: Rates, isFirst: boolean): Record<string, Tensor>;
}

export class BatchUpdate<Part extends NamedTensors> {
  /** Parts of a batch over all devices and workers. */
  readonly partCount: number;
  /** Parts of this worker, and the first of them. */
  readonly ownParts: number;
  readonly firstPart: number;
  readonly #options: BatchUpdateOptions<Part>;
  readonly #replicas: number;
  readonly #whole: Replicated<Part, Rates, Values, NamedTensors>;
  readonly #part: Replicated<Part, NamedTensors, Values, NamedTensors>;
  readonly #apply: Compiled<Rates, NamedTensors>;
  /** Sums of the gradients of a device's parts; 0 between updates. */
  readonly #sums: GradientAccumulator | undefined;
  readonly #clear: Compiled<NamedTensors, NamedTensors>;
  #isCleared = false;

  constructor(runtime: Runtime, options: BatchUpdateOptions<Part>) {
    const { name, prefix, trained, train, compression } = options;
    const { accumulateSteps, precision } = train;
    this.#options = options;
    const { names, count, first } = runtime.replicas;
    this.#replicas = names.length;
    this.ownParts = names.length * accumulateSteps;
    this.partCount = count * accumulateSteps;
    this.firstPart = first * accumulateSteps;
    if (accumulateSteps > 1) {
      // Compression takes whole gradients.
      this.#sums = compression
        ? new GradientAccumulator(runtime, prefix, trained)
        : accumulatorFor(runtime, prefix, trained, train);
    }
    const plainSums = (each: readonly Gradients[]): Gradients[] =>
      eachReplica((r) => sumAllOverReplicas(each[r] as Gradients, train.allReduce));
    const compressed = (each: readonly Gradients[], powerSgd: PowerSgd): BatchGradients[] => {
      const whole = powerSgd.sum(each, plainSums);
      if (!isSharded(runtime, train.sharding)) return whole;
      return eachReplica((r) => SlicedGradients.ofWhole(whole[r] as Gradients));
    };
    const update = (each: readonly BatchGradients[], rates: Rates): NamedTensors =>
      inPart('the update', () =>
        atOneOrigin(() => eachReplica((r) => options.update(each[r] as BatchGradients, rates, r === 0))),
      )[0] as NamedTensors;
    this.#whole = compileReplicated(
      runtime,
      `${name} train step`,
      (parts, rates: Rates) => {
        const each = eachReplica((r) => options.gradients(parts[r] as Part));
        const own = each.map(({ gradients }) => gradients);
        const sums = compression
          ? compressed(own, compression)
          : eachReplica((r) => sumGradients(runtime, own[r] as Gradients, trained, train));
        const common = update(sums, rates);
        return { each: each.map(({ values }) => values), common };
      },
      { precision },
    );
    this.#part = compileReplicated(
      runtime,
      `${name} gradients of a part`,
      (parts) => {
        const each = eachReplica((r) => options.gradients(parts[r] as Part));
        eachReplica((r) => this.#sums?.add(each[r]?.gradients as Gradients));
        return { each: each.map(({ values }) => values), common: {} };
      },
      { precision },
    );
    this.#apply = runtime.compile(`${name} update`, (rates) => {
      const accumulated = this.#sums as GradientAccumulator;
      const sums = compression
        ? compressed(
            eachReplica(() => accumulated.read()),
            compression,
          )
        : eachReplica(() => sumAccumulated(runtime, accumulated, trained, train));
      const results = update(sums, rates);
      eachReplica(() => accumulated.clear());
      return results;
    });
    this.#clear = runtime.compile(`${name} gradients at 0`, () => {
      eachReplica(() => this.#sums?.clear());
      return {};
    });
  }

  /**
   * Makes one update.
   * @param parts of this worker
   * @param step updates made before this one
   * @param times collects the time and memory of each op
   * @returns the values of the batch, and what `update` returns
   */
  async run(
    parts: readonly OnHost<Part>[],
    step: number,
    learningRate: number,
    times?: OpTime[],
  ): Promise<Results> {
    const rates = { step: floatScalar(step), learningRate: floatScalar(learningRate) };
    if (!this.#sums) {
      const { each, common } = await this.#whole(parts, rates, times);
      return { ...(await this.#sumOfParts(each.map(numbers))), ...numbers(common) };
    }
    if (!this.#isCleared) await this.#clear({});
    this.#isCleared = true;
    const values: Results[] = new Array(parts.length);
    for (const [round, own] of this.#rounds(parts).entries()) {
      const { each } = await this.#part(own, {}, times);
      for (const [r, of] of each.entries())
        values[r * this.#options.train.accumulateSteps + round] = numbers(of);
    }
    const results = await this.#apply(rates, times);
    return { ...(await this.#sumOfParts(values)), ...numbers(results) };
  }

  /** The first tensor of a step that is not finite, and the line that made it; undefined when all are finite. */
  async firstNonFinite(parts: readonly OnHost<Part>[]): Promise<string | undefined> {
    if (!this.#sums)
      return this.#whole.firstNonFinite(parts, { step: floatScalar(0), learningRate: floatScalar(0) });
    for (const own of this.#rounds(parts)) {
      const found = await this.#part.firstNonFinite(own, {});
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /**
   * Builds an update of one part on each device, without making it, and returns its nodes.
   * @param parts of this worker
   * @throws Error with gradient accumulation, whose updates are several functions
   */
  examine(parts: readonly OnHost<Part>[]): Examined {
    if (this.#sums) throw new Error('an update by accumulation is not one function');
    return this.#whole.examine(parts, { step: floatScalar(0), learningRate: floatScalar(0) });
  }

  /** The parts that run at once, one on each device. */
  #rounds(parts: readonly OnHost<Part>[]): OnHost<Part>[][] {
    const { accumulateSteps } = this.#options.train;
    return Array.from({ length: accumulateSteps }, (_, round) =>
      Array.from({ length: this.#replicas }, (_, r) => parts[r * accumulateSteps + round] as OnHost<Part>),
    );
  }

  /** Sums over the parts of all workers, in the order of the parts. */
  async #sumOfParts(own: readonly Results[]): Promise<Results> {
    const { cluster } = this.#options;
    return sum(cluster ? await gatherResults(cluster, own) : own);
  }
}

/** Sums by name; a single part as it is. */
function sum(parts: readonly Results[]): Results {
  const sums: Record<string, number> = {};
  for (const values of parts)
    for (const [name, value] of Object.entries(values)) sums[name] = (sums[name] ?? 0) + value;
  return sums;
}

/** Part number `part` of `count` equal parts of an array. */
export const partOf = <T extends Int32Array | Uint8Array>(data: T, part: number, count: number): T =>
  data.subarray((part * data.length) / count, ((part + 1) * data.length) / count) as T;

/** The key of a part's random numbers; part 0 has that of the step. */
export function keyOfPart(key: HostTensor, part: number): HostTensor {
  const [a, b] = key.data as Int32Array;
  return { ...key, data: Int32Array.of((a as number) + part, b as number) };
}
