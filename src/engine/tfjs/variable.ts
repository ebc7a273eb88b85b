// Variables: arrays that live in the session and are shared by all compiled functions. Inside a function, reading a
// variable gives its value at the start of the run; updates run after all such reads, in the order of their calls.
// A variable that is used on several devices has a separate array on each (distributed/replicas.ts).

import { boolAttr, intAttr, shapeAttr, stringAttr, typeAttr } from '../graph/attributes.ts';
import type { NodeOptions } from '../graph/graph.ts';
import type { GraphOutput, Pointer } from '../native/capi.ts';
import { DT, type DTypeName } from '../native/dtype.ts';
import { outputOf, wrapOutput } from './backend.ts';
import { type Tensor, tf } from './tf.ts';
import { currentTrace } from './trace.ts';

/** Variables of 16 bits are read as float32, and rounded where they are written. */
export type VariableType = Extract<DTypeName, 'float32' | 'int32' | 'bfloat16' | 'float16'>;

/** See `Variable.release`. */
const untouched = new WeakMap<object, Map<string, GraphOutput>>();

export interface UpdateOptions extends NodeOptions {
  readonly resources?: readonly Variable[];
}

export class Variable {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: VariableType;
  /** The function that released the value. */
  #releasedIn: object | undefined;

  constructor(name: string, shape: readonly number[], dtype: VariableType = 'float32') {
    this.name = name;
    this.shape = shape;
    this.dtype = dtype;
  }

  /**
   * The value at the start of the run.
   * @throws Error when the first read follows an update in the same function
   */
  read(): Tensor {
    const { graph, recording, constants, device } = currentTrace();
    const { reads, updated } = device;
    let value = reads.get(this);
    if (!value) {
      if (this.#releasedIn) throw new Error(`variable ${this.name} was released by another function`);
      if (updated.has(this)) {
        throw new Error(`variable ${this.name} is read after its update: read it before, or use readAfter`);
      }
      const known = constants.get(this);
      value = known
        ? wrapOutput(recording, graph.constant(DT[this.dtype], this.shape, known.data))
        : this.#read([]);
      reads.set(this, value);
    }
    return value;
  }

  /** The value after `operation`, an update in the same function, and before the following updates. */
  readAfter(operation: Pointer): Tensor {
    return this.#read([operation]);
  }

  #read(after: readonly Pointer[]): Tensor {
    const { graph, recording, device } = currentTrace();
    const attributes = this.#type('dtype');
    const make = () => graph.output('ReadVariableOp', [this.handle()], { attributes, after });
    const output = after.length === 0 ? graph.once(`read ${this.name}`, make) : make();
    device.uses.set(this, [...(device.uses.get(this) ?? []), output.oper]);
    return wrapOutput(recording, this.#is16Bits ? graph.cast(output, DT.float32) : output);
  }

  /** variable = `value`, after all reads. */
  assign(value: Tensor): Pointer {
    const { graph, recording } = currentTrace();
    const stored = graph.cast(outputOf(recording, value), DT[this.dtype]);
    this.#releasedIn = undefined;
    return this.#update('AssignVariableOp', [stored], { attributes: this.#type('dtype') });
  }

  /** Frees the value, after all reads; it has none until it is assigned again. */
  destroy(): Pointer {
    return this.#update('DestroyResourceOp', [], { attributes: [boolAttr('ignore_lookup_error', true)] });
  }

  /**
   * Replaces the value, once `after` is computed, by memory that all variables of its shape share: for a matrix of which
   * that op keeps a packed copy. Only the function being built may go on reading the variable, for its shape; others may
   * once a function assigns it.
   */
  release(after: Tensor): void {
    const { graph, recording, targets } = currentTrace();
    const used = [outputOf(recording, after).oper];
    const attributes = this.#type('dtype');
    const inputs = [this.handle(), this.#untouched()];
    targets.push(graph.add('AssignVariableOp', inputs, { attributes, after: used }));
    this.#releasedIn = currentTrace();
  }

  /** Memory that nothing fills, the same for all variables of a shape. */
  #untouched(): GraphOutput {
    const trace = currentTrace();
    const shared = untouched.get(trace) ?? new Map<string, GraphOutput>();
    untouched.set(trace, shared);
    const key = `${this.dtype} ${this.shape}`;
    let output = shared.get(key);
    if (!output) {
      const shape = trace.graph.constant(DT.int32, [this.shape.length], this.shape);
      const attributes = [...this.#type('dtype'), boolAttr('init', false)];
      output = trace.graph.output('Empty', [shape], { attributes });
      shared.set(key, output);
    }
    return output;
  }

  /** variable += `delta`, after all reads. */
  add(delta: Tensor): Pointer {
    return this.update('AssignAddVariableOp', [delta], { attributes: this.#type('dtype') });
  }

  /** variable −= `delta`, after all reads. */
  subtract(delta: Tensor): Pointer {
    return this.update('AssignSubVariableOp', [delta], { attributes: this.#type('dtype') });
  }

  /**
   * Writes `value` to the slice from `begin` up to `end` (int32[rank] each), in place. `after` is a tensor computed
   * from the value read before: while that value is still in use, TensorFlow would copy the whole variable.
   */
  writeSlice(begin: Tensor, end: Tensor, value: Tensor, after: Tensor): Pointer {
    const masks = ['begin_mask', 'end_mask', 'ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask'];
    return this.update('ResourceStridedSliceAssign', [begin, end, tf.onesLike(begin), value], {
      attributes: [
        typeAttr('T', DT[this.dtype]),
        typeAttr('Index', DT.int32),
        ...masks.map((mask) => intAttr(mask, 0)),
      ],
      after: [outputOf(currentTrace().recording, after).oper],
    });
  }

  /**
   * Writes `rows` [n, …] to the rows `indices` (int32[n]) of the first axis, in place, and returns the whole variable
   * after it. Unlike with `writeSlice`, later reads are not copies. The value assigned before must have been computed
   * from an input: otherwise the memory of a constant would be overwritten.
   * @throws Error when the function reads or updates the variable before
   */
  writeRows(indices: Tensor, rows: Tensor): Tensor {
    const { graph, recording, targets, device } = currentTrace();
    const { reads, uses, updated } = device;
    if (reads.has(this) || updated.has(this))
      throw new Error(`variable ${this.name} is read or updated before its rows are written`);
    recording.isUpdating = true;
    const whole = graph.output('ReadVariableOp', [this.handle()], { attributes: this.#type('dtype') });
    const stored = graph.cast(outputOf(recording, rows), DT[this.dtype]);
    const operation = graph.add('InplaceUpdate', [whole, outputOf(recording, indices), stored], {
      attributes: this.#type('T'),
    });
    uses.set(this, [operation]);
    updated.add(this);
    targets.push(operation);
    const written = { oper: operation, index: 0 };
    return wrapOutput(recording, this.#is16Bits ? graph.cast(written, DT.float32) : written);
  }

  /**
   * Adds an update op, whose first inputs are the handles of this variable and of `resources`. It runs after all
   * earlier reads and updates of them, and with every run of the function.
   */
  update(op: string, inputs: readonly Tensor[], options: UpdateOptions = {}): Pointer {
    const { recording } = currentTrace();
    const flat = inputs.map((tensor) => outputOf(recording, tensor));
    return this.#update(op, flat, options);
  }

  #update(
    op: string,
    inputs: readonly GraphOutput[],
    { resources = [], ...options }: UpdateOptions = {},
  ): Pointer {
    const { graph, recording, targets, device } = currentTrace();
    const { uses, updated } = device;
    recording.isUpdating = true;
    const variables = [this, ...resources];
    const flat = [...variables.map((variable) => variable.handle()), ...inputs];
    const earlier = variables.flatMap((variable) => uses.get(variable) ?? []);
    const operation = graph.add(op, flat, { ...options, after: [...(options.after ?? []), ...earlier] });
    for (const variable of variables) {
      uses.set(variable, [operation]);
      updated.add(variable);
    }
    targets.push(operation);
    return operation;
  }

  /** The resource handle in the function being built. */
  handle(): GraphOutput {
    const { graph, device } = currentTrace();
    let handle = device.handles.get(this);
    if (!handle) {
      const attributes = [
        ...this.#type('dtype'),
        shapeAttr('shape', this.shape),
        stringAttr('shared_name', this.name),
      ];
      handle = graph.once(`handle ${this.name}`, () => graph.output('VarHandleOp', [], { attributes }));
      device.handles.set(this, handle);
    }
    return handle;
  }

  get #is16Bits(): boolean {
    return this.dtype === 'bfloat16' || this.dtype === 'float16';
  }

  #type(name: string) {
    return [typeAttr(name, DT[this.dtype])];
  }
}
