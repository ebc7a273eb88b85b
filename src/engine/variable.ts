// Variables: arrays that live in the session and are shared by all compiled functions. Inside a function a
// variable reads as its value at the start of the run; updates happen after every such read.

import { shapeAttr, stringAttr, typeAttr } from './attributes.ts';
import { outputOf, wrapOutput } from './backend.ts';
import type { Output, Pointer } from './capi.ts';
import { DT, type DTypeName } from './dtype.ts';
import type { NodeOptions } from './graph.ts';
import type { Tensor } from './tf.ts';
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

  /** Row `index` (int32[1]) of the first axis becomes `row` ([1, …]). */
  writeRow(index: Tensor, row: Tensor): Pointer {
    return this.update('ResourceScatterUpdate', [index, row], {
      attributes: [...this.#type('dtype'), typeAttr('Tindices', DT.int32)],
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
