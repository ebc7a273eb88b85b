// Variables: arrays that live in the session and are shared by all compiled functions. Inside a function a
// variable reads as its value at the start of the run; updates happen after every such read.

import { intAttr, shapeAttr, stringAttr, typeAttr } from './attributes.ts';
import { outputOf, wrapOutput } from './backend.ts';
import type { Output, Pointer } from './capi.ts';
import { DT, type DTypeName } from './dtype.ts';
import type { NodeOptions } from './graph.ts';
import { type Tensor, tf } from './tf.ts';
import { currentTrace } from './trace.ts';

export type VariableType = Extract<DTypeName, 'float32' | 'int32'>;

export interface UpdateOptions extends NodeOptions {
  readonly resources?: readonly Variable[];
}

export class Variable {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: VariableType;

  constructor(name: string, shape: readonly number[], dtype: VariableType = 'float32') {
    this.name = name;
    this.shape = shape;
    this.dtype = dtype;
  }

  /** Its value at the start of the run. */
  read(): Tensor {
    const trace = currentTrace();
    let value = trace.reads.get(this);
    if (!value) {
      const operation = trace.graph.add('ReadVariableOp', [this.handle()], {
        attributes: this.#type('dtype'),
      });
      value = { operation, tensor: wrapOutput(trace.recording, { oper: operation, index: 0 }) };
      trace.reads.set(this, value);
    }
    return value.tensor;
  }

  /** Its value after `operation`, for example an update made in the same run. */
  readAfter(operation: Pointer): Tensor {
    const { graph, recording } = currentTrace();
    return wrapOutput(
      recording,
      graph.output('ReadVariableOp', [this.handle()], {
        attributes: this.#type('dtype'),
        after: [operation],
      }),
    );
  }

  /** Gives it `value` at the end of the run. */
  assign(value: Tensor): Pointer {
    return this.update('AssignVariableOp', [value], { attributes: this.#type('dtype') });
  }

  /** value −= `delta`. */
  subtract(delta: Tensor): Pointer {
    return this.update('AssignSubVariableOp', [delta], { attributes: this.#type('dtype') });
  }

  /**
   * The part from `begin` up to `end` (int32[rank] each) becomes `value`, in place. `after` is a tensor made from
   * what was read of this variable: while the old value is still needed the whole variable would be copied.
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
   * Runs an op whose first inputs are this variable and `resources`, after all reads of it; the function then
   * includes the op.
   */
  update(op: string, inputs: readonly Tensor[], { resources = [], ...options }: UpdateOptions = {}): Pointer {
    const trace = currentTrace();
    const read = trace.reads.get(this);
    const flat = [
      this.handle(),
      ...resources.map((variable) => variable.handle()),
      ...inputs.map((tensor) => outputOf(trace.recording, tensor)),
    ];
    const operation = trace.graph.add(op, flat, {
      ...options,
      after: [...(options.after ?? []), ...(read ? [read.operation] : [])],
    });
    trace.targets.push(operation);
    return operation;
  }

  /** The resource handle in the function being built. */
  handle(): Output {
    const trace = currentTrace();
    let handle = trace.handles.get(this);
    if (!handle) {
      handle = trace.graph.output('VarHandleOp', [], {
        attributes: [
          ...this.#type('dtype'),
          shapeAttr('shape', this.shape),
          stringAttr('shared_name', this.name),
        ],
      });
      trace.handles.set(this, handle);
    }
    return handle;
  }

  #type(name: string) {
    return [typeAttr(name, DT[this.dtype])];
  }
}
