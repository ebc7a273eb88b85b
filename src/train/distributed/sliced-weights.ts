// Parameters of which each replica holds a slice (train.sharding). They move to and from files in groups, so that no
// process has all of them.

import type { TensorSources } from '../../checkpoint/write.ts';
import type { Sharding } from '../../config/fields.ts';
import { broadcast, isFirstReplica } from '../../engine/distributed/collectives.ts';
import { eachReplica } from '../../engine/distributed/replicas.ts';
import { gatherSlices, ownSlice, sliceLength } from '../../engine/distributed/slices.ts';
import { bucketsOf } from '../../engine/distributed/sums.ts';
import { atOneOrigin } from '../../engine/graph/origin.ts';
import { giveBackFreeMemory } from '../../engine/native/heap.ts';
import { floatScalar, type HostTensor } from '../../engine/native/tensor.ts';
import type { Compiled, NamedTensors, OnHost } from '../../engine/session/compiled.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Tensor, tf } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import { flatten, type ParameterSpec, type SpecTree } from '../../nn/parameters.ts';
import type { WeightEntries } from '../../nn/weights.ts';
import { sizeOf } from '../../util/shape.ts';

/** Whether a training state is divided among replicas. */
export const isSharded = ({ replicas }: Runtime, sharding: Sharding): boolean =>
  sharding !== 'none' && replicas.count > 1;

/** Parameters that are moved at once. */
type Group = readonly (readonly [name: string, spec: ParameterSpec])[];

type Gathering = (inputs: OnHost<NamedTensors>) => Promise<OnHost<NamedTensors>>;

export class SlicedWeights {
  /** The whole parameters' specs, and the variables of the slices. */
  readonly entries: WeightEntries;
  readonly #runtime: Runtime;
  readonly #prefix: string;
  readonly #groups: readonly Group[];
  #gather: readonly Gathering[] | undefined;

  constructor(runtime: Runtime, prefix: string, spec: SpecTree) {
    const { count } = runtime.replicas;
    this.#runtime = runtime;
    this.#prefix = prefix;
    const specs = flatten(spec);
    this.entries = new Map(
      specs.map(([name, leaf]) => [
        name,
        { spec: leaf, variable: runtime.variable(`${prefix}/${name}`, [sliceLength(leaf.shape, count)]) },
      ]),
    );
    const sized = new Map(specs.map(([name, leaf]) => [name, { leaf, size: sizeOf(leaf.shape) }]));
    this.#groups = bucketsOf(sized)
      .map((bucket) => bucket.map(([name, { leaf }]) => [name, leaf] as const).reverse())
      .reverse();
  }

  /** Of the slices. */
  get variables(): Variable[] {
    return [...this.entries.values()].map(({ variable }) => variable);
  }

  /** Of a parameter's slice. */
  variable(name: string): Variable {
    return this.entries.get(name)!.variable;
  }

  /** Name and spec of each whole parameter, for checking loaded tensors. */
  expected(): [name: string, spec: ParameterSpec][] {
    return [...this.entries].map(([name, { spec }]) => [name, spec]);
  }

  /** Sets all to 0, on the replicas of this process. */
  async clear(): Promise<void> {
    // Of constants alone TensorFlow would keep the zeros, beside the variables.
    const clear = this.#runtime.compileSeldom(`${this.#prefix} at 0`, ({ zero }: { zero: Tensor }) => {
      eachReplica(() =>
        atOneOrigin(() => {
          for (const variable of this.variables) variable.assign(tf.broadcastTo(zero, [...variable.shape]));
        }),
      );
      return {};
    });
    await clear({ zero: floatScalar(0) });
  }

  /** At worker 0: the whole parameters, gathered group by group as they are written; the others call `send`. */
  sources(): TensorSources {
    return this.#groups.flatMap((group, i) => {
      let gathered: Readonly<Record<string, HostTensor>> | undefined;
      return group.map(([name, { shape }], position) => {
        const data = async (): Promise<Float32Array> => {
          gathered ??= await this.#gatherings()[i]!({});
          const own = gathered[name]!.data as Float32Array;
          if (position === group.length - 1) gathered = undefined;
          return own;
        };
        return [name, { dtype: 'float32', shape, data }] as const;
      });
    });
  }

  /** At the other workers: sends the slices to worker 0, in the order in which it gathers them. */
  async send(): Promise<void> {
    for (const gather of this.#gatherings()) await gather({});
  }

  /** The whole parameters, by name; inside a compiled function. */
  gathered(group: Group = this.expected()): ReadonlyMap<string, Tensor> {
    const shapes = new Map(group.map(([name, { shape }]) => [name, shape]));
    return atOneOrigin(() =>
      gatherSlices(new Map(group.map(([name]) => [name, this.variable(name).read()])), shapes),
    );
  }

  /** A function for each group; compiled once: a run saves many times. */
  #gatherings(): readonly Gathering[] {
    const isFirst = this.#runtime.replicas.first === 0;
    this.#gather ??= this.#groups.map((group, i) =>
      this.#runtime.compileSeldom(`gather ${this.#prefix} ${i}`, (): NamedTensors => {
        const [whole] = eachReplica(() => this.gathered(group));
        return isFirst ? Object.fromEntries(whole!) : {};
      }),
    );
    return this.#gather;
  }

  /**
   * Gives each replica its slices. All workers call it together.
   * @param read at worker 0, a whole parameter by name
   */
  async deal(read: ((name: string) => Promise<Float32Array>) | undefined): Promise<void> {
    for (const [i, group] of this.#groups.entries()) {
      const deal = this.#runtime.compileSeldom(
        `deal ${this.#prefix} ${i}`,
        (whole: Record<string, Tensor>) => {
          eachReplica(() => this.#take(group, (name) => whole[name] as Tensor));
          return {};
        },
      );
      const inputs: Record<string, HostTensor> = {};
      for (const [name, { shape }] of group)
        inputs[name] = {
          dtype: 'float32',
          shape,
          data: read ? await read(name) : new Float32Array(sizeOf(shape)),
        };
      await deal(inputs);
    }
  }

  /** Gives each replica its slices of the first one's whole parameters, which are freed. All workers call it together. */
  async divide({ entries }: { readonly entries: WeightEntries }): Promise<void> {
    for (const [i, group] of this.#groups.entries()) {
      const divide = this.#runtime.compileSeldom(`divide ${this.#prefix} ${i}`, () => {
        eachReplica(() => {
          this.#take(group, (name) => entries.get(name)!.variable.read());
          if (isFirstReplica()) for (const [name] of group) entries.get(name)!.variable.destroy();
        });
        return {};
      });
      await divide({});
    }
    giveBackFreeMemory();
  }

  /** Sets this replica's slices from whole parameters. @param whole of the first replica */
  #take(group: Group, whole: (name: string) => Tensor): void {
    const sizes = group.map(([, { shape }]) => sizeOf(shape));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const flat = () => tf.concat(group.map(([name]) => tf.reshape(whole(name), [-1])));
    atOneOrigin(() => {
      const parts = tf.split(broadcast([total], flat), sizes);
      for (const [part, [name]] of group.entries())
        this.variable(name).assign(ownSlice(parts[part] as Tensor));
    });
  }
}

/** Slices of the weights, where `sharding` divides them. */
export const slicedWeightsFor = (
  runtime: Runtime,
  prefix: string,
  { spec }: { readonly spec: SpecTree },
  sharding: Sharding,
): SlicedWeights | undefined =>
  sharding === 'parameters' && isSharded(runtime, sharding)
    ? new SlicedWeights(runtime, `${prefix}/slices`, spec)
    : undefined;

/** Whole weights at the first replica while they are evaluated, where each replica has slices only. */
export class ShownWeights {
  readonly #show: Compiled<NamedTensors, NamedTensors>;
  readonly #hide: Compiled<NamedTensors, NamedTensors>;
  readonly #isFirst: boolean;
  #isShown = false;

  /**
   * @param weights variables without values until they are shown
   * @param slices of the values to show: the weights', or the EMA's
   */
  constructor(runtime: Runtime, weights: { readonly entries: WeightEntries }, slices: SlicedWeights) {
    this.#isFirst = runtime.replicas.first === 0;
    this.#show = runtime.compile('show the weights', () => {
      eachReplica(() => {
        for (const [name, value] of slices.gathered())
          if (isFirstReplica()) weights.entries.get(name)!.variable.assign(value);
      });
      return {};
    });
    this.#hide = runtime.compile('hide the weights', () => {
      eachReplica(() => {
        if (isFirstReplica()) for (const { variable } of weights.entries.values()) variable.destroy();
      });
      return {};
    });
  }

  /** All workers call it together. */
  async show(isShown: boolean): Promise<void> {
    if (isShown === this.#isShown) return;
    this.#isShown = isShown;
    if (isShown) await this.#show({});
    else if (this.#isFirst) {
      await this.#hide({});
      giveBackFreeMemory();
    }
  }
}
