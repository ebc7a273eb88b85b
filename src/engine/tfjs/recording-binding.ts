// The recording binding: each tfjs kernel call becomes a node of a TensorFlow graph, whose shape TensorFlow infers.
// Values that exist at graph-building time stay eager tensors and become Const nodes where they are used; values that
// depend on an input cannot be read here.

import type { HostArray } from '../../util/element-types.ts';
import type { Attribute } from '../graph/attributes.ts';
import { VIEWS } from '../graph/cost.ts';
import type { Graph } from '../graph/graph.ts';
import { atOneOrigin, currentOrigin, describeOrigin } from '../graph/origin.ts';
import { isKeptInFloat32, type Precision } from '../graph/precision.ts';
import type { GraphOutput } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import type { LooseValues } from '../native/tensor.ts';
import type { EagerBinding, TensorMetadata } from './eager-binding.ts';

/** Ops that run in 16 bits under mixed precision: the ops that matrix units accelerate. */
const MATRIX_OPS: ReadonlySet<string> = new Set([
  'MatMul',
  'BatchMatMul',
  'BatchMatMulV2',
  '_MklNativeFusedMatMul',
  'Conv2D',
  'Conv2DBackpropInput',
  'Conv2DBackpropFilter',
]);

/** Tensor numbers from here on are recorded values; smaller numbers are eager tensors. */
const FIRST_RECORDED = 2 ** 40;
let next = FIRST_RECORDED;

export const isRecorded = (id: number): boolean => id >= FIRST_RECORDED;

/** Elements of a constant that is shared, at most: sizes and factors, of which a model has many. */
const MAX_SHARED = 8;

export interface RecordingOptions {
  readonly precision: Precision;
  /** Whether small constants of equal bits are one node of the function. */
  readonly sharesConstants: boolean;
}

export class RecordingBinding {
  readonly graph: Graph;
  /** float32 results recorded before the first update of a variable, or exchange between devices. */
  readonly floats: GraphOutput[] = [];
  /** Set by the first update, and by the first exchange between devices. */
  isUpdating = false;
  readonly #eager: EagerBinding;
  readonly #options: RecordingOptions;
  readonly #outputs = new Map<number, GraphOutput>();
  /** What a view is a view of, by its tensor's number. */
  readonly #viewed = new Map<number, GraphOutput>();
  /**
   * By device: a constant is copied to each device that uses it while the graph is built, not at every run. Constants of
   * a device by their tensor's number, shared ones by their contents.
   */
  readonly #constants = new Map<string | undefined, Map<number | string, GraphOutput>>();
  /** Type, shape and bits of the tensors that are shared. */
  readonly #contents = new Map<number, string>();

  constructor(graph: Graph, eager: EagerBinding, options: RecordingOptions) {
    this.graph = graph;
    this.#eager = eager;
    this.#options = options;
  }

  createTensor(shape: readonly number[], dtype: number, values: LooseValues): number {
    const id = this.#eager.createTensor(shape, dtype, values);
    if (this.#options.sharesConstants && isShared(dtype, values))
      this.#contents.set(id, `${dtype} ${shape}: ${bitsOf(values as ArrayLike<number>)}`);
    return id;
  }

  deleteTensor(id: number): void {
    if (isRecorded(id)) {
      this.#outputs.delete(id);
      this.#viewed.delete(id);
    } else {
      for (const constants of this.#constants.values()) constants.delete(id);
      this.#contents.delete(id);
      this.#eager.deleteTensor(id);
    }
  }

  tensorDataSync(id: number): HostArray | Uint8Array[] {
    if (!isRecorded(id)) return this.#eager.tensorDataSync(id);
    throw new Error(
      `the result of ${this.graph.opType(this.output(id))} was read at graph-building time${describeOrigin(currentOrigin())}: ` +
        'it depends on an input, so it is only known at run time; compute with tensors instead, or return it from the function',
    );
  }

  executeOp(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly number[],
    outputCount: number,
  ): TensorMetadata[] {
    return atOneOrigin(() => this.#record(name, attributes, inputs, outputCount));
  }

  #record(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly number[],
    outputCount: number,
  ): TensorMetadata[] {
    const { graph } = this;
    const outputs = inputs.map((id) => this.output(id));
    if (MATRIX_OPS.has(name) && this.lowersProducts) return [this.#lowered(name, attributes, outputs)];
    const table = name === 'GatherV2' ? graph.narrow(outputs[0] as GraphOutput) : undefined;
    if (table) {
      // Rows of a table of 16 bits are looked up before they are widened.
      const rows = graph.output(name, [table, ...outputs.slice(1)], { attributes });
      return [this.register(graph.cast(rows, DT.float32))];
    }
    if (name === 'Cast') return [this.#cast(outputs[0] as GraphOutput, typeOf(attributes))];
    if (VIEWS.has(name)) return [this.#view(name, attributes, inputs, outputs)];
    const oper = graph.add(name, outputs, { attributes });
    return Array.from({ length: outputCount }, (_, index) => this.register({ oper, index }));
  }

  /** Whether a matrix product recorded now runs in 16 bits. */
  get lowersProducts(): boolean {
    return this.#options.precision !== 'float32' && !isKeptInFloat32();
  }

  /** The graph output of a tensor number; eager tensors become constants. */
  output(id: number): GraphOutput {
    const constants = this.#constants.get(this.graph.device) ?? new Map<number | string, GraphOutput>();
    this.#constants.set(this.graph.device, constants);
    const key = this.#contents.get(id) ?? id;
    const output = this.#outputs.get(id) ?? constants.get(key);
    if (output) return output;
    if (isRecorded(id)) {
      throw new Error(
        `a tensor of another compiled function, or one already disposed, was used${describeOrigin(currentOrigin())}`,
      );
    }
    const native = this.#eager.resolve(id);
    try {
      const constant = this.graph.constantFrom(native);
      constants.set(key, constant);
      return constant;
    } finally {
      this.graph.api.deleteTensor(native);
    }
  }

  register(output: GraphOutput): TensorMetadata {
    if (this.graph.dtype(output) === DT.float32 && !this.isUpdating) this.floats.push(output);
    return this.#number(output);
  }

  #number(output: GraphOutput): TensorMetadata {
    const id = next++;
    this.#outputs.set(id, output);
    return { id, shape: this.graph.shape(output), dtype: this.graph.dtype(output) };
  }

  #cast(input: GraphOutput, type: number): TensorMetadata {
    const output = this.graph.cast(input, type);
    return output === input ? this.#number(output) : this.register(output);
  }

  /** A reshape of a view is one of what that is a view of; one to a shape that there is already is no node. */
  #view(
    name: string,
    attributes: readonly Attribute[],
    [id, sizes]: readonly number[],
    [own, ...others]: readonly GraphOutput[],
  ): TensorMetadata {
    const input = own as GraphOutput;
    const viewed = this.#viewed.get(id as number) ?? input;
    const isReshape = name === 'Reshape';
    const same = isReshape && this.#withSizes(sizes as number, [input, viewed]);
    const view = same
      ? this.#number(same)
      : this.register(this.graph.output(name, [isReshape ? viewed : input, ...others], { attributes }));
    this.#viewed.set(view.id, viewed);
    return view;
  }

  /** The first output that has the sizes in a tensor, if they are known; −1 is any size. */
  #withSizes(id: number, outputs: readonly GraphOutput[]): GraphOutput | undefined {
    if (isRecorded(id)) return undefined;
    const sizes = [...(this.#eager.tensorDataSync(id) as HostArray)];
    return outputs.find((output) => {
      const shape = this.graph.shape(output);
      return shape.length === sizes.length && sizes.every((size, i) => size === shape[i] || size === -1);
    });
  }

  #lowered(name: string, attributes: readonly Attribute[], inputs: readonly GraphOutput[]): TensorMetadata {
    const { graph } = this;
    const low = DT[this.#options.precision];
    const lowered = inputs.map((input) =>
      graph.dtype(input) === DT.float32 ? graph.cast(input, low) : input,
    );
    const result = graph.output(name, lowered, { attributes });
    return this.register(graph.cast(result, DT.float32));
  }
}

/** The type that a Cast makes. */
const typeOf = (attributes: readonly Attribute[]): number =>
  attributes.find(({ name }) => name === 'DstT')?.value as number;

const isShared = (dtype: number, values: LooseValues): boolean =>
  (dtype === DT.float32 || dtype === DT.int32) && values.length <= MAX_SHARED;

/** As float64, which holds each float32 and int32, and tells −0 from 0. */
const bitsOf = (values: ArrayLike<number>): string =>
  Buffer.from(Float64Array.from(values).buffer).toString('latin1');
