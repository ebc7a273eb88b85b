// One graph and one session: variables live here by name, functions are compiled here.
//
//   const runtime = new Runtime();
//   const w = runtime.variable('w', [2]);
//   const set = runtime.compile('set', ({ value }: { value: Tensor }) => (w.assign(value), {}));
//   const dot = runtime.compile('dot', ({ x }: { x: Tensor }) => ({ y: tf.sum(tf.mul(w.read(), x)) }));
//   await set({ value: { dtype: 'float32', shape: [2], data: Float32Array.of(1, 2) } });
//   const { y } = await dot({ x: { dtype: 'float32', shape: [2], data: Float32Array.of(3, 4) } });
//   console.log(y.data[0]); // 11
//   await runtime.close();
//
// A function has two times. At *graph-building time* its body runs, once for each input signature (names, types and
// shapes), and records ops; no op is computed. At *run time* TensorFlow runs the recorded ops with the values of the
// inputs. Rules of graph-building time:
// - Allowed: every tfjs op; JavaScript that depends on shapes and constants, such as loops and `if`; reads and updates
//   of variables; reading the value of a tensor that was made of numbers or computed outside of the function.
// - Refused with an error: reading the result of an op of the function (`dataSync`, `print`); an op whose output shape
//   depends on values, such as `Where`; calling a compiled function; a tensor of another function; the first read of a
//   variable after its update.
// - Silently evaluated once, at graph-building time, and constant from then on: `Math.random`, `Date.now`, counters,
//   and tfjs's own random numbers. Use ops/random.ts with a key that is an input.
// See docs/ENGINE.md.

import { setImmediate } from 'node:timers/promises';
import { type Examined, examine } from '../graph/examine.ts';
import { finiteChecks } from '../graph/finite.ts';
import { Graph } from '../graph/graph.ts';
import type { Precision } from '../graph/precision.ts';
import type { GraphOutput } from '../native/capi.ts';
import { withLargeBlocksApart } from '../native/heap.ts';
import type { HostTensor } from '../native/tensor.ts';
import { canPackWeights } from '../ops/packed-weights.ts';
import { useTensorFlow } from '../tfjs/backend.ts';
import { isBuilding, type ReplicaDevices } from '../tfjs/trace.ts';
import { Variable, type VariableType } from '../tfjs/variable.ts';
import { type Built, buildFunction } from './build.ts';
import {
  type Compiled,
  type CompileOptions,
  checkInputs,
  type InputType,
  type NamedTensors,
  type OnHost,
  signatureOf,
} from './compiled.ts';
import { type Connection, type ConnectionOptions, connect } from './connection.ts';
import { deviceAt, hideOtherGpus, replicaDevices } from './devices.ts';
import type { OpTime } from './op-times.ts';
import { type Feed, Session } from './session.ts';

/**
 * A run in one thread that took no longer last time blocks the caller: another thread costs 0.1 ms and a cold cache.
 */
const SHORT_RUN_MS = 20;

/** Input signatures of one function; more are taken for a mistake. */
const MAX_SIGNATURES = 32;

/** A built function and the milliseconds of its last run. */
interface CachedFunction extends Built {
  lastRunMs: number;
}

export interface RuntimeOptions extends ConnectionOptions {
  /** The place in `devices` of the only one that functions run on: see each-device.ts. */
  readonly at?: number | undefined;
  /** Workers that are not there, with a device each: functions can be examined for them, not run. */
  readonly imagined?: number | undefined;
  /** A runtime of which this one shares server, devices and variables; it has a server. */
  readonly beside?: Runtime | undefined;
}

export class Runtime {
  /** Devices that were asked for; one without `devices`. */
  readonly deviceCount: number;
  /** Threads inside an op that were asked for; 0 for all. */
  readonly intraOpThreads: number;
  readonly #graph: Graph;
  readonly #session: Session;
  readonly #hasOnlyCpus: boolean;
  readonly #replicas: ReplicaDevices;
  /** Whether runs may block the calling thread: not where other runtimes are at work beside this one. */
  readonly #mayBlock: boolean;
  /** Functions built, by scope. */
  readonly #scopes = new Map<string, number>();
  readonly #variables = new Map<string, Variable>();
  readonly #connection: Connection;
  /** Runtimes of single calls, see `compileSeldom`, and those of `withOneThread`. */
  readonly #beside = new Set<Runtime>();
  #functions = 0;
  #isClosed = false;
  #cancellation: Error | undefined;

  /** @throws UsageError when a device of `devices` is missing; as `startServer` with a server */
  constructor({ devices, at, server: network, imagined, explain, beside, ...config }: RuntimeOptions = {}) {
    hideOtherGpus(devices);
    useTensorFlow();
    this.#graph = new Graph();
    const own = { devices, server: network, explain, ...config };
    this.intraOpThreads = config.intraOpThreads ?? 0;
    this.#connection = beside ? beside.#connection : connect(this.#graph.api, own);
    this.#session = new Session(this.#graph, this.#connection.config, this.#connection);
    const place = network
      ? { rank: network.rank, workers: network.addresses.length }
      : { rank: 0, workers: imagined ?? 1 };
    const replicas = beside ? beside.#replicas : replicaDevices(devices, this.devices, place);
    this.deviceCount = replicas.names.length;
    this.#replicas = at === undefined ? replicas : deviceAt(replicas, at);
    this.#mayBlock = at === undefined || this.deviceCount === 1;
    this.#hasOnlyCpus = this.devices.every((type) => type === 'CPU');
  }

  /** Types of the devices, such as CPU and GPU. */
  get devices(): readonly string[] {
    return this.#session.devices().map(([, type]) => type);
  }

  /** Bytes that TensorFlow may take of the GPU that has least; undefined without a GPU. */
  get gpuMemory(): number | undefined {
    const gpus = this.#session.devices().filter(([, type]) => type === 'GPU');
    return this.#replicas.areGpus ? Math.min(...gpus.map(([, , memory]) => memory)) : undefined;
  }

  /** The devices that each hold a replica of the training state; one unless more were asked for. */
  get replicas(): ReplicaDevices {
    return this.#replicas;
  }

  /** Whether products of frozen weights keep packed copies of them (ops/packed-weights.ts). */
  packsWeights(precision: Precision): boolean {
    return this.#hasOnlyCpus && canPackWeights(this.#graph.api, precision);
  }

  /** Version of libtensorflow. */
  get tensorflowVersion(): string {
    return useTensorFlow().binding.TF_Version;
  }

  /** Declares a variable. It has no value until a function assigns one. @throws Error for a name declared before */
  variable(name: string, shape: readonly number[], dtype: VariableType = 'float32'): Variable {
    if (this.#variables.has(name)) throw new Error(`variable ${name} is declared twice`);
    const variable = new Variable(name, shape, dtype);
    this.#variables.set(name, variable);
    return variable;
  }

  /**
   * Turns `body` into a function that runs in the session. `body` is called once for each input signature, at its first
   * call; rules for it are at the top of this file. uint8 inputs reach it as float32, 0 to 255.
   * @param name for error messages
   * @returns the function; it throws an Error for the 33rd signature
   */
  compile<Inputs extends NamedTensors, Outputs extends NamedTensors>(
    name: string,
    body: (inputs: Inputs) => Outputs,
    options: CompileOptions = {},
  ): Compiled<Inputs, Outputs> {
    const { inOneThread = false, frozen = [], releases = false } = options;
    const cache = new Map<string, CachedFunction>();
    let constants: ReadonlyMap<Variable, HostTensor> | undefined;
    const build = (
      inputs: Readonly<Record<string, InputType>>,
      own: { forCpu: boolean; constants?: typeof constants },
    ): Built => {
      const xlaScope = `${name}_${options.xla ? this.#functions++ : 0}`;
      const scope = this.#scope(`${name}(${signatureOf(inputs)})`);
      const replicas = this.#replicas;
      return buildFunction(this.#graph, body as never, {
        ...options,
        ...own,
        name,
        scope,
        xlaScope,
        replicas,
        inputs,
      });
    };
    const builtFor = (inputs: OnHost<Inputs>): CachedFunction => {
      if (this.#isClosed) throw new Error(`${name} was called after the runtime was closed`);
      checkInputs(name, inputs);
      const key = signatureOf(inputs);
      let built = cache.get(key);
      if (!built) {
        if (cache.size >= MAX_SIGNATURES) {
          throw new Error(
            `${name} was built for ${cache.size} input signatures already; the newest is ${key}: give it inputs of fixed shapes`,
          );
        }
        const forCpu = this.#hasOnlyCpus;
        built = { ...build(typesOf(inputs), { forCpu, constants }), lastRunMs: Number.POSITIVE_INFINITY };
        cache.set(key, built);
      }
      return built;
    };
    const call = async (inputs: OnHost<Inputs>, times?: OpTime[]): Promise<OnHost<Outputs>> => {
      if (frozen.length > 0) constants ??= await this.#readVectors(frozen);
      const built = builtFor(inputs);
      const { fetches, targets, names } = built;
      const isFirst = built.lastRunMs === Number.POSITIVE_INFINITY;
      const blocking = this.#mayBlock && inOneThread && built.lastRunMs <= SHORT_RUN_MS;
      const started = performance.now();
      const mode = { times, inOneThread, blocking };
      const run = () => this.#session.run(name, feedsOf(built, inputs), fetches, targets, mode);
      const results = await (isFirst && releases ? withLargeBlocksApart(run) : run());
      built.lastRunMs = performance.now() - started;
      // Blocking calls in a loop would starve timers, signals and files.
      if (blocking) await setImmediate();
      return Object.fromEntries(names.map((n, i) => [n, results[i]])) as OnHost<Outputs>;
    };
    const firstNonFinite = async (inputs: OnHost<Inputs>): Promise<string | undefined> => {
      const built = builtFor(inputs);
      const checks = finiteChecks(this.#graph, built.floats);
      const [results] = await this.#session.run(name, feedsOf(built, inputs), [checks], []);
      const first = results?.data.indexOf(0 as never) ?? -1;
      return first < 0 ? undefined : this.#graph.describe(built.floats[first] as GraphOutput);
    };
    const compiled = (inputs: OnHost<Inputs>, times?: OpTime[]) => {
      // Thrown, not rejected: a promise cannot be awaited at graph-building time.
      if (isBuilding()) throw new Error(`${name} was called while a compiled function is being built`);
      return call(inputs, times);
    };
    const examineFor = (inputs: { readonly [K in keyof Inputs]: InputType }): Examined =>
      examine(this.#graph, () => build(inputs, { forCpu: false }).fetches);
    return Object.assign(compiled, { firstNonFinite, examine: examineFor });
  }

  /**
   * As `compile`, for a function that is called seldom. A server places the whole graph of a session anew for each
   * function that is added, and keeps what it made of it (docs/LOG.md): there, the function gets a separate graph and
   * session for each call.
   */
  compileSeldom<Inputs extends NamedTensors, Outputs extends NamedTensors>(
    name: string,
    body: (inputs: Inputs) => Outputs,
  ): (inputs: OnHost<Inputs>) => Promise<OnHost<Outputs>> {
    if (this.#connection.target === undefined) return this.compile(name, body);
    return async (inputs) => {
      if (this.#cancellation) throw this.#cancellation;
      const own = new Runtime({ beside: this });
      this.#beside.add(own);
      try {
        return await own.compile(name, body)(inputs);
      } finally {
        this.#beside.delete(own);
        await own.close();
      }
    };
  }

  /** The name, or with a number behind it where a function of that name was built before. */
  #scope(name: string): string {
    const built = this.#scopes.get(name) ?? 0;
    this.#scopes.set(name, built + 1);
    return built === 0 ? name : `${name} ${built}`;
  }

  /** Values of the variables with one axis: as constants they are cheaper than as reads, and small enough. */
  async #readVectors(variables: readonly Variable[]): Promise<ReadonlyMap<Variable, HostTensor>> {
    const vectors = variables.filter(({ shape }) => shape.length === 1);
    if (vectors.length === 0) return new Map();
    const read = this.compile('frozen vectors', () =>
      Object.fromEntries(vectors.map((variable) => [variable.name, variable.read()])),
    );
    const values = await read({});
    return new Map(vectors.map((variable) => [variable, values[variable.name] as HostTensor]));
  }

  /** A runtime with one thread inside each op (see threads.ts), closed with this one; on other devices this one itself. */
  withOneThread(): Runtime {
    if (!this.#hasOnlyCpus || this.deviceCount > 1 || this.#connection.target !== undefined) return this;
    const own = new Runtime({ intraOpThreads: 1 });
    this.#beside.add(own);
    return own;
  }

  /** Ends the runs in flight; they and later ones fail with `reason`. */
  cancel(reason: Error): void {
    this.#cancellation ??= reason;
    for (const runtime of [this, ...this.#beside]) runtime.#session.cancel(reason);
  }

  /** Waits for the runs in flight and frees the session and its variables. The runtime cannot be used afterwards. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.all([...this.#beside].map((runtime) => runtime.close()));
    await this.#session.close();
    this.#graph.delete();
  }
}

/** Types and shapes alone: what a function is built for lives as long as the function. */
const typesOf = (inputs: OnHost<NamedTensors>): Record<string, InputType> =>
  Object.fromEntries(Object.entries(inputs).map(([name, { dtype, shape }]) => [name, { dtype, shape }]));

const feedsOf = ({ placeholders }: Built, inputs: OnHost<NamedTensors>): Feed[] =>
  Object.entries(inputs).map(([input, value]) => ({
    output: placeholders.get(input) as GraphOutput,
    value,
  }));
