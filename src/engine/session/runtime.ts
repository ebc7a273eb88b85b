// One graph and one session for a program run: variables live here and are shared by name, functions are
// compiled here. Two times are kept apart: a function is *built* once for each input signature, then *run*.

import { setImmediate } from 'node:timers/promises';
import { sizeOf } from '../../util/shape.ts';
import { type Attribute, boolAttr, stringAttr } from '../graph/attributes.ts';
import { type Examined, examine } from '../graph/examine.ts';
import { finiteChecks } from '../graph/finite.ts';
import { Graph } from '../graph/graph.ts';
import { withModelLine } from '../graph/origin.ts';
import type { Precision } from '../graph/precision.ts';
import type { GraphOutput, Pointer } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import type { HostTensor } from '../native/tensor.ts';
import { canPackWeights } from '../ops/packed-weights.ts';
import { outputOf, record, useTensorFlow, wrapOutput } from '../tfjs/backend.ts';
import { RecordingBinding } from '../tfjs/recording-binding.ts';
import { type Tensor, tf } from '../tfjs/tf.ts';
import { isBuilding, newTrace, withTrace } from '../tfjs/trace.ts';
import { Variable, type VariableType } from '../tfjs/variable.ts';
import type { OpTime } from './op-times.ts';
import { Session } from './session.ts';
import { type SessionConfig, sessionConfig } from './session-config.ts';

export interface CompileOptions {
  /** Type of matrix products and convolutions, except those made under `inFloat32` (precision.ts). */
  readonly precision?: Precision;
  /** Compile with XLA: slower to start, sometimes faster to run; measure it. */
  readonly xla?: boolean;
  /**
   * Run op after op in one thread: for many small ops, each of which would cost more to hand over than to run. Short
   * runs take the calling thread.
   */
  readonly inOneThread?: boolean;
  /** Variables that keep the values they have at its first run, which makes `affine` faster: see packed-weights.ts. */
  readonly frozen?: readonly Variable[];
}

export type NamedTensors = Readonly<Record<string, Tensor>>;

/** The same names with host tensors. */
export type OnHost<T> = { readonly [K in keyof T]: HostTensor };

/** A function from host tensors to host tensors. */
export interface Compiled<Inputs, Outputs> {
  /** `times` collects the time of each op. */
  (inputs: OnHost<Inputs>, times?: OpTime[]): Promise<OnHost<Outputs>>;
  /**
   * The first float32 tensor, in the order they were recorded, that is not finite for these inputs: its op, the part
   * of the model and the line. Nothing is updated, and what is computed from updates is not looked at.
   */
  firstNonFinite(inputs: OnHost<Inputs>): Promise<string | undefined>;
  /** Builds the function for inputs of these types and shapes, without running it, and says what it consists of. */
  examine(inputs: { readonly [K in keyof Inputs]: InputType }): Examined;
}

export type InputType = Pick<HostTensor, 'dtype' | 'shape'>;

interface Built {
  readonly placeholders: ReadonlyMap<string, GraphOutput>;
  readonly names: readonly string[];
  readonly fetches: readonly GraphOutput[];
  readonly targets: readonly Pointer[];
  /** float32 tensors recorded before the first update. */
  readonly floats: readonly GraphOutput[];
  /** Milliseconds that its last run took. */
  took: number;
}

/** A run in one thread that takes no more milliseconds is done at once: handing it to another thread costs 0.1 and a cold cache. */
const SHORT_RUN_MS = 20;

/** Signatures a function may be built for before that is taken for a mistake. */
const MAX_SIGNATURES = 32;

export class Runtime {
  readonly #graph: Graph;
  readonly #session: Session;
  readonly #hasOnlyCpus: boolean;
  readonly #variables = new Map<string, Variable>();
  #functions = 0;
  #closed = false;

  constructor(config: SessionConfig = {}) {
    useTensorFlow();
    this.#graph = new Graph();
    this.#session = new Session(this.#graph, sessionConfig(config));
    this.#hasOnlyCpus = this.devices.every((type) => type === 'CPU');
  }

  get devices(): readonly string[] {
    return this.#session.devices().map(([, type]) => type);
  }

  /** Of libtensorflow. */
  get tensorflowVersion(): string {
    return useTensorFlow().binding.TF_Version;
  }

  get nodeCount(): number {
    return this.#graph.nodeCount;
  }

  /** Declares a variable. It has no value until something is assigned to it. */
  variable(name: string, shape: readonly number[], dtype: VariableType = 'float32'): Variable {
    if (this.#variables.has(name)) throw new Error(`variable ${name} is declared twice`);
    const variable = new Variable(name, shape, dtype);
    this.#variables.set(name, variable);
    return variable;
  }

  /**
   * Turns `body` into a function that runs in the session. `body` is called when the function first meets an
   * input signature (names, types, shapes); its ops are recorded. uint8 inputs arrive in it as float32, 0 to 255.
   * @throws Error when the function meets more than 32 signatures.
   */
  compile<Inputs extends NamedTensors, Outputs extends NamedTensors>(
    name: string,
    body: (inputs: Inputs) => Outputs,
    options: CompileOptions = {},
  ): Compiled<Inputs, Outputs> {
    const { inOneThread = false, frozen = [] } = options;
    const cache = new Map<string, Built>();
    let constants: ReadonlyMap<Variable, HostTensor> | undefined;
    const builtFor = (inputs: OnHost<Inputs>): Built => {
      if (this.#closed) throw new Error(`${name} was called after the runtime was closed`);
      checkInputs(name, inputs);
      const key = signature(inputs);
      let built = cache.get(key);
      if (!built) {
        if (cache.size >= MAX_SIGNATURES) {
          throw new Error(
            `${name} was built for ${cache.size} input signatures already; the newest is ${key}: give it inputs of fixed shapes`,
          );
        }
        built = this.#build(name, inputs, body as never, options, this.#hasOnlyCpus, constants);
        cache.set(key, built);
      }
      return built;
    };
    const feed = ({ placeholders }: Built, inputs: OnHost<Inputs>) =>
      Object.entries(inputs).map(([input, value]) => ({
        output: placeholders.get(input) as GraphOutput,
        value,
      }));
    const call = async (inputs: OnHost<Inputs>, times?: OpTime[]): Promise<OnHost<Outputs>> => {
      if (frozen.length > 0) constants ??= await this.#vectors(frozen);
      const built = builtFor(inputs);
      const { fetches, targets, names } = built;
      const blocking = inOneThread && built.took <= SHORT_RUN_MS;
      const started = performance.now();
      const way = { times, inOneThread, blocking };
      const results = await this.#session.run(name, feed(built, inputs), fetches, targets, way);
      built.took = performance.now() - started;
      // A loop of such calls alone would keep timers, signals and files waiting.
      if (blocking) await setImmediate();
      return Object.fromEntries(names.map((n, i) => [n, results[i]])) as OnHost<Outputs>;
    };
    const firstNonFinite = async (inputs: OnHost<Inputs>): Promise<string | undefined> => {
      const built = builtFor(inputs);
      const checks = finiteChecks(this.#graph, built.floats);
      const [results] = await this.#session.run(name, feed(built, inputs), [checks], []);
      const first = results?.data.indexOf(0 as never) ?? -1;
      return first < 0 ? undefined : this.#graph.describe(built.floats[first] as GraphOutput);
    };
    const compiled = (inputs: OnHost<Inputs>, times?: OpTime[]) => {
      // Thrown, not rejected: nobody waits for a promise at graph-building time.
      if (isBuilding()) throw new Error(`${name} was called while a compiled function is being built`);
      return call(inputs, times);
    };
    const examineFor = (inputs: { readonly [K in keyof Inputs]: InputType }): Examined =>
      examine(this.#graph, () => this.#build(name, inputs, body as never, options, false).fetches);
    return Object.assign(compiled, { firstNonFinite, examine: examineFor });
  }

  #build(
    name: string,
    inputs: Readonly<Record<string, InputType>>,
    body: (inputs: NamedTensors) => NamedTensors,
    { precision = 'float32', xla = false, frozen = [] }: CompileOptions,
    forCpu: boolean,
    constants?: ReadonlyMap<Variable, HostTensor>,
  ): Built {
    const graph = this.#graph;
    const recording = new RecordingBinding(graph, useTensorFlow().binding.eager, precision);
    const packs = forCpu && precision === 'float32' && canPackWeights(graph.api);
    const trace = newTrace(graph, recording, forCpu, packs ? frozen : [], constants);
    graph.ambient = xla ? xlaAttributes(`${name}_${this.#functions++}`) : [];
    const build = (): Built => {
      const placeholders = new Map<string, GraphOutput>();
      const tensors: Record<string, Tensor> = {};
      for (const [input, { dtype, shape }] of Object.entries(inputs)) {
        const placeholder = graph.placeholder(DT[dtype], shape);
        placeholders.set(input, placeholder);
        tensors[input] = wrapOutput(
          recording,
          dtype === 'uint8' ? graph.cast(placeholder, DT.float32) : placeholder,
        );
      }
      const outputs = body(tensors);
      // What is fed cannot be fetched, but a copy of it can.
      const fetches = Object.values(outputs).map((tensor) => graph.identity(outputOf(recording, tensor)));
      return {
        placeholders,
        names: Object.keys(outputs),
        fetches,
        targets: trace.targets,
        floats: recording.floats,
        took: Number.POSITIVE_INFINITY,
      };
    };
    tf.engine().startScope(name);
    try {
      return record(recording, () => withTrace(trace, () => withModelLine(build)));
    } finally {
      tf.engine().endScope();
      graph.ambient = [];
    }
  }

  /** Values of those of the variables that have one axis: constants of a graph cost less than reads, and these are small. */
  async #vectors(variables: readonly Variable[]): Promise<ReadonlyMap<Variable, HostTensor>> {
    const vectors = variables.filter(({ shape }) => shape.length === 1);
    const read = this.compile('frozen vectors', () =>
      Object.fromEntries(vectors.map((variable) => [variable.name, variable.read()])),
    );
    const values = await read({});
    return new Map(vectors.map((variable) => [variable, values[variable.name] as HostTensor]));
  }

  /** Waits for what runs and frees the session. The runtime is of no use afterwards. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#session.close();
    this.#graph.delete();
  }
}

function xlaAttributes(scope: string): Attribute[] {
  return [boolAttr('_XlaCompile', true), stringAttr('_XlaScope', scope.replaceAll(/\W/g, '_'))];
}

function checkInputs(name: string, inputs: OnHost<NamedTensors>): void {
  for (const [input, { dtype, shape, data }] of Object.entries(inputs)) {
    if (data.length !== sizeOf(shape)) {
      throw new RangeError(
        `${name}: input ${input} is ${dtype}[${shape.join(', ')}], ${sizeOf(shape)} numbers, but has ${data.length}`,
      );
    }
  }
}

/** The same for the same inputs in any order. */
function signature(inputs: OnHost<NamedTensors>): string {
  return Object.entries(inputs)
    .map(([name, { dtype, shape }]) => `${name}: ${dtype}[${shape.join(', ')}]`)
    .sort()
    .join('; ');
}
