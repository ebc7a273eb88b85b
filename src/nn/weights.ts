// A model's parameters as variables of a runtime: initialized, read inside compiled functions, loaded and saved by
// name.

import { atOneOrigin } from '../engine/graph/origin.ts';
import type { Precision } from '../engine/graph/precision.ts';
import type { Pointer } from '../engine/native/capi.ts';
import { PageTensor } from '../engine/native/page-tensor.ts';
import { floatScalar, type HostTensor } from '../engine/native/tensor.ts';
import { filled } from '../engine/ops/elementwise.ts';
import { foldIn, randomNormal, randomUniform } from '../engine/ops/random.ts';
import type { Compiled } from '../engine/session/compiled.ts';
import type { Runtime } from '../engine/session/runtime.ts';
import { type Scalar, type Tensor, type Tensor1D, tf } from '../engine/tfjs/tf.ts';
import type { Variable } from '../engine/tfjs/variable.ts';
import { graphSeed } from '../util/random.ts';
import { sizeOf } from '../util/shape.ts';
import { flatten, type ParameterSpec, type Parameters, type SpecTree, unflatten } from './parameters.ts';

/** Values that are set at a time by `loadEach`. */
const CHUNK_BYTES = 2 ** 26;

export interface WeightEntry {
  readonly variable: Variable;
  readonly spec: ParameterSpec;
}

/** In which type the values are kept: float32, or 16 bits for matrices and tables, except where `keeps` is true. */
export interface WeightStorage {
  readonly type: Precision;
  readonly keeps?: (name: string) => boolean;
}

export interface LoadOptions {
  /** Values that are held before they are set. */
  readonly chunkBytes?: number;
  /** Called with those that are set. */
  readonly onSet?: (variables: readonly Variable[]) => void;
}

/** Parameters by dotted name. */
export type WeightEntries = ReadonlyMap<string, WeightEntry>;

export class Weights<S extends SpecTree = SpecTree> {
  readonly spec: S;
  /** In declaration order. */
  readonly entries: WeightEntries;
  readonly #runtime: Runtime;
  readonly #prefix: string;
  /** Compiled once: a graph only grows, and a run saves many times. */
  #save: Compiled<Record<never, Tensor>, Record<string, Tensor>> | undefined;

  /** Declares a variable `prefix/name` for each parameter; it has no value until initialized or loaded. */
  constructor(
    runtime: Runtime,
    prefix: string,
    spec: S,
    { type, keeps }: WeightStorage = { type: 'float32' },
  ) {
    const typeOf = (name: string, { shape }: ParameterSpec) =>
      shape.length < 2 || keeps?.(name) ? 'float32' : type;
    this.spec = spec;
    this.#runtime = runtime;
    this.#prefix = prefix;
    this.entries = new Map(
      flatten(spec).map(([name, leaf]) => [
        name,
        { spec: leaf, variable: runtime.variable(`${prefix}/${name}`, leaf.shape, typeOf(name, leaf)) },
      ]),
    );
  }

  get variables(): Variable[] {
    return [...this.entries.values()].map(({ variable }) => variable);
  }

  /** The entries that the optimizer updates: all but running statistics. */
  get trained(): WeightEntries {
    return new Map([...this.entries].filter(([, { spec }]) => spec.trained));
  }

  /**
   * The parameters as tensors; only inside a compiled function.
   * @param names of those that the function uses, all by default; the others are undefined
   */
  read(names?: ReadonlySet<string>): Parameters<S> {
    const read = (name: string): Tensor | undefined =>
      (names?.has(name) ?? true) ? this.#entry(name).variable.read() : undefined;
    return atOneOrigin(() => unflatten(this.spec, (name) => read(name) as Tensor));
  }

  /** Initializes every parameter. Values depend only on the seed, the prefix and the parameter's name. */
  async initialize(seed: number): Promise<void> {
    await initializeTogether(this.#runtime, [this], seed);
  }

  /** The key of the initial values. */
  initialKey(seed: number): HostTensor {
    return { dtype: 'int32', shape: [2], data: graphSeed(seed, 'weights', this.#prefix) };
  }

  /**
   * Assigns initial values; inside a compiled function.
   * @param key the value of `initialKey`
   * @returns the assignment of each parameter
   */
  assignInitial(key: Tensor1D, constants: Constants): Map<string, Pointer> {
    return new Map(
      [...this.entries].map(([name, { variable, spec }]) => [
        name,
        variable.assign(initial(spec, () => foldIn(key, name), constants)),
      ]),
    );
  }

  /**
   * Sets all parameters.
   * @param values each parameter by name, in its shape
   * @throws RangeError when one is missing or of another shape
   */
  async load(values: ReadonlyMap<string, HostTensor>): Promise<void> {
    await this.#assign([...this.entries.keys()], values);
  }

  /** How a file of all parameters is read for `loadEach`: mapped, or into pages, that TensorFlow takes over. */
  get fileOptions() {
    return { expected: this.expected(), allocate: PageTensor.allocate };
  }

  /**
   * Sets all parameters from tensors that come one by one, so that the values are not in memory twice.
   * @param values each parameter, in its shape and any order, of 16 or 32 bits; others are passed over
   * @throws RangeError when one is missing or of another shape
   */
  async loadEach(
    values: AsyncIterable<readonly [name: string, value: HostTensor]>,
    { chunkBytes = CHUNK_BYTES, onSet }: LoadOptions = {},
  ): Promise<void> {
    const missing = new Set(this.entries.keys());
    let held = new Map<string, HostTensor>();
    let bytes = 0;
    let setting: Promise<void> = Promise.resolve();
    // The values that come next are read while the last ones are set.
    const flush = async (): Promise<void> => {
      await setting;
      const names = [...held.keys()];
      if (held.size > 0)
        setting = this.#assign(names, held).then(() =>
          onSet?.(names.map((name) => this.#entry(name).variable)),
        );
      setting.catch(() => {}); // thrown when it is awaited
      held = new Map();
      bytes = 0;
    };
    try {
      for await (const [name, value] of values) {
        if (!missing.delete(name)) continue;
        held.set(name, value);
        bytes += value.data.byteLength;
        if (bytes >= chunkBytes) await flush();
      }
      await flush();
    } finally {
      await Promise.allSettled([setting]);
    }
    await setting;
    const [first] = missing;
    if (first !== undefined) throw new RangeError(`no value for parameter ${first}`);
  }

  async #assign(names: readonly string[], values: ReadonlyMap<string, HostTensor>): Promise<void> {
    await this.#loader(names)(Object.fromEntries(names.map((name) => [name, this.#value(values, name)])));
  }

  /** A separate function, because the runtime keeps what is compiled, and with it all that its scope holds. */
  #loader(names: readonly string[]): Compiled<Record<string, Tensor>, Record<never, Tensor>> {
    return this.#runtime.compile(`load ${this.#prefix}`, (inputs: Record<string, Tensor>) => {
      atOneOrigin(() => {
        for (const name of names) this.#entry(name).variable.assign(inputs[name] as Tensor);
      });
      return {};
    });
  }

  #value(values: ReadonlyMap<string, HostTensor>, name: string): HostTensor {
    const value = values.get(name);
    const { shape } = this.#entry(name).variable;
    if (!value) throw new RangeError(`no value for parameter ${name}`);
    if (value.shape.join() !== shape.join())
      throw new RangeError(`parameter ${name} is [${shape}], got [${value.shape}]`);
    return value;
  }

  /** Name and spec of each parameter, for checking loaded tensors. */
  expected(): [name: string, spec: ParameterSpec][] {
    return [...this.entries].map(([name, { spec }]) => [name, spec]);
  }

  /** Zeros in the shape of each parameter, by name, to be filled and loaded. */
  zeros(): Map<string, HostTensor> {
    return new Map(
      this.expected().map(([name, { shape }]) => [
        name,
        { dtype: 'float32', shape, data: new Float32Array(sizeOf(shape)) },
      ]),
    );
  }

  /** All parameters, by name. */
  async save(): Promise<Map<string, HostTensor>> {
    this.#save ??= this.#runtime.compile(`save ${this.#prefix}`, () =>
      atOneOrigin(() =>
        Object.fromEntries([...this.entries].map(([name, { variable }]) => [name, variable.read()])),
      ),
    );
    return new Map(Object.entries(await this.#save({})));
  }

  #entry(name: string): WeightEntry {
    return this.entries.get(name) as WeightEntry;
  }
}

/** A tensor with one value everywhere. */
type Constants = (value: number, shape: readonly number[]) => Tensor;

/** @param one a 1 that is an input: what is made of constants alone TensorFlow keeps, beside the variables */
function constantsOf(one: Tensor): Constants {
  const made = new Map<string, Tensor>();
  return (value, shape) => {
    const key = `${value} ${shape}`;
    const tensor = made.get(key) ?? filled(tf.mul(one, value) as Scalar, shape);
    made.set(key, tensor);
    return tensor;
  };
}

/**
 * Initializes all parameters of `groups` in one run. Values depend only on the seed, the prefixes and the names.
 * @param and records what else is done in the run, given the assignments of each group by parameter
 */
export async function initializeTogether(
  runtime: Runtime,
  groups: readonly Weights[],
  seed: number,
  and: (assigned: readonly ReadonlyMap<string, Pointer>[]) => void = () => {},
): Promise<void> {
  const initialize = runtime.compile('initialize', ({ one, ...keys }: Record<string, Tensor>) => {
    const constants = constantsOf(one as Tensor);
    atOneOrigin(() => and(groups.map((group, i) => group.assignInitial(keys[i] as Tensor1D, constants))));
    return {};
  });
  const keys = groups.map((group, i) => [i, group.initialKey(seed)]);
  await initialize({ one: floatScalar(1), ...Object.fromEntries(keys) });
}

function initial({ init, shape }: ParameterSpec, key: () => Tensor1D, constants: Constants): Tensor {
  switch (init.kind) {
    case 'constant':
      return constants(init.value, shape);
    case 'normal':
      return randomNormal(key(), shape).mul(init.stddev);
    case 'uniform':
      return randomUniform(key(), shape)
        .mul(2 * init.limit)
        .sub(init.limit);
    default:
      return init satisfies never;
  }
}
