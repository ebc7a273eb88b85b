// A TensorFlow graph under construction: adds nodes, reads the shapes that TensorFlow infers, and stores the model line
// of each node, so that an error at run time can name it. Nothing runs here.

import { type CApi, capi, checked, type GraphOutput, type Pointer, TensorFlowError } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { createNative, type LooseValues } from '../native/tensor.ts';
import { ATTR, type Attribute, boolAttr, graphSetters, setAttribute, typeAttr } from './attributes.ts';
import { groupInputs, type OpDefinition, opDefinition } from './op-definitions.ts';
import { currentOrigin, describeOrigin, type Origin } from './origin.ts';

export interface NodeOptions {
  readonly attributes?: readonly Attribute[];
  /** Control dependencies: operations that run before this one. */
  readonly after?: readonly Pointer[];
}

/** Functions have no lists of inputs, and no attributes that follow from their types. */
const FUNCTION: OpDefinition = { inputs: [], impliedAttributes: new Set() };

export class Graph {
  readonly api: CApi = capi();
  readonly pointer: Pointer = this.api.newGraph();
  readonly #origins = new Map<string, Origin>();
  /** What casts from 16 to 32 bits are made of. */
  readonly #widened = new Map<Pointer, GraphOutput>();
  /** See `once`. */
  readonly #shared = new Map<string, GraphOutput>();
  /** Functions of the graph, which are ops by their names, and the shapes of what each gives. */
  readonly functions = new Map<string, readonly (readonly number[])[]>();
  /** Attributes added to every new node: those of a compiled function, such as its XLA scope. */
  ambient: readonly Attribute[] = [];
  /** Called for every node that is added. */
  onNode: ((type: string, oper: Pointer, inputs: readonly GraphOutput[]) => void) | undefined;
  /** Device of every new node; undefined lets TensorFlow place it. */
  device: string | undefined;

  /** Adds a node and returns its operation. `inputs` is flat; the op's definition says which inputs are lists. */
  add(
    type: string,
    inputs: readonly GraphOutput[],
    { attributes = [], after = [] }: NodeOptions = {},
  ): Pointer {
    const { api } = this;
    const definition = this.functions.has(type) ? FUNCTION : opDefinition(api, type);
    const name = `${type.replace(/^_+/, '')}_${this.#origins.size}`;
    this.#origins.set(name, currentOrigin());
    const op = api.newOperation(this.pointer, type, name);
    if (this.device !== undefined) api.setDevice(op, this.device);
    for (const input of groupInputs(definition, inputs)) {
      if (Array.isArray(input)) api.addInputList(op, input, input.length);
      else api.addInput(op, input);
    }
    for (const control of after) api.addControlInput(op, control);
    const set = graphSetters(api);
    const status = api.newStatus();
    try {
      // XLA's generator gives other numbers than TensorFlow's for the same key.
      const ambient = type.startsWith('StatelessRandom') ? [] : this.ambient;
      for (const attribute of [...attributes, ...ambient]) {
        if (!definition.impliedAttributes.has(attribute.name)) setAttribute(set, op, attribute, status);
      }
      const finished = api.finishOperation(op, status);
      if (api.statusCode(status) !== 0) {
        throw new TensorFlowError(type, `${api.statusMessage(status)}${this.originOf(name)}`);
      }
      this.onNode?.(type, finished as Pointer, inputs);
      return finished as Pointer;
    } finally {
      api.deleteStatus(status);
    }
  }

  /** Adds a node and returns its first output. */
  output(type: string, inputs: readonly GraphOutput[], options?: NodeOptions): GraphOutput {
    return { oper: this.add(type, inputs, options), index: 0 };
  }

  /**
   * What `make` added before for the same key and device, in any function: TensorFlow goes through all nodes of a graph
   * at each function's first run. Nodes of an XLA cluster belong to one function, and examined functions are whole.
   */
  once(key: string, make: () => GraphOutput): GraphOutput {
    if (this.ambient.length > 0 || this.onNode) return make();
    const own = `${this.device} ${key}`;
    const output = this.#shared.get(own) ?? make();
    this.#shared.set(own, output);
    return output;
  }

  constant(dtype: number, shape: readonly number[], values: LooseValues): GraphOutput {
    const native = createNative(this.api, dtype, shape, values);
    try {
      return this.constantFrom(native);
    } finally {
      this.api.deleteTensor(native);
    }
  }

  /** A Const node with a copy of a native tensor's value. */
  constantFrom(native: Pointer): GraphOutput {
    const dtype = this.api.tensorType(native);
    return this.output('Const', [], {
      attributes: [typeAttr('dtype', dtype), { name: 'value', type: ATTR.tensor, value: native }],
    });
  }

  placeholder(dtype: number, shape: readonly number[]): GraphOutput {
    return this.output('Placeholder', [], {
      attributes: [typeAttr('dtype', dtype), { name: 'shape', type: ATTR.shape, value: shape }],
    });
  }

  identity(input: GraphOutput, after: readonly Pointer[] = []): GraphOutput {
    return this.output('Identity', [input], { attributes: [typeAttr('T', this.dtype(input))], after });
  }

  cast(input: GraphOutput, dtype: number): GraphOutput {
    const from = this.dtype(input);
    if (from === dtype) return input;
    // Widened from 16 bits and back is the same value.
    const narrow = this.narrow(input);
    if (narrow && this.dtype(narrow) === dtype) return narrow;
    const output = this.output('Cast', [input], {
      attributes: [typeAttr('SrcT', from), typeAttr('DstT', dtype), boolAttr('Truncate', false)],
    });
    if (dtype === DT.float32 && (from === DT.bfloat16 || from === DT.float16))
      this.#widened.set(output.oper, input);
    return output;
  }

  /** The value of 16 bits that a float32 value was widened from; undefined for others. */
  narrow({ oper, index }: GraphOutput): GraphOutput | undefined {
    return index === 0 ? this.#widened.get(oper) : undefined;
  }

  dtype(output: GraphOutput): number {
    return this.api.outputType(output);
  }

  /** True for numbers, false for strings and handles of variables. */
  isNumeric(output: GraphOutput): boolean {
    return this.dtype(output) !== DT.resource && this.dtype(output) !== DT.string;
  }

  /**
   * The shape that TensorFlow inferred.
   * @throws TensorFlowError when it is not fully known at graph-building time
   */
  shape(output: GraphOutput): number[] {
    const { api } = this;
    return checked(api, 'shape', (status) => {
      const rank = api.outputRank(this.pointer, output, status);
      const dims: (number | bigint)[] = new Array(Math.max(rank, 0)).fill(0);
      if (rank > 0) api.outputShape(this.pointer, output, dims, rank, status);
      const shape = dims.map(Number);
      if (rank < 0 || shape.some((dim) => dim < 0)) {
        throw new TensorFlowError(
          this.opType(output),
          `the shape of its result depends on values that are only known at run time${this.originOf(api.operationName(output.oper))}`,
        );
      }
      return shape;
    });
  }

  /** For an output whose shape TensorFlow does not infer. */
  setShape(output: GraphOutput, shape: readonly number[]): void {
    checked(this.api, 'shape', (status) =>
      this.api.setShape(this.pointer, output, shape.map(BigInt), shape.length, status),
    );
  }

  /** Type of the op that makes an output, such as MatMul. */
  opType(output: GraphOutput): string {
    return this.api.operationType(output.oper);
  }

  /** " (made by FILE:LINE:COLUMN)" for a node; empty when no model line is known. */
  originOf(name: string): string {
    const origin = this.#origins.get(name);
    const by = origin && describeOrigin(origin);
    return by ? ` (made${by})` : '';
  }

  /** Names the op of an output, the part of the model and the model line. */
  describe(output: GraphOutput): string {
    return `the result of ${this.opType(output)}${this.originOf(this.api.operationName(output.oper))}`;
  }

  /** Appends the model line to a run-time message that names nodes as {{node NAME}}. */
  explainError(reason: string): string {
    const named = /\{\{node ([\w/.]+?)\}\}/.exec(reason)?.[1] ?? /\[\[\{?\{?node ([\w/.]+)/.exec(reason)?.[1];
    return named === undefined ? reason : reason + this.originOf(named);
  }

  delete(): void {
    this.api.deleteGraph(this.pointer);
  }
}
