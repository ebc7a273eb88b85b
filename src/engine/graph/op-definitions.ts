// TensorFlow's op definitions, read once from the library: which inputs are lists, and which attributes follow from the
// inputs.

import { readFields } from '../../util/protobuf.ts';
import { type CApi, checked, copyBuffer } from '../native/capi.ts';

interface InputDefinition {
  readonly isList: boolean;
}

export interface OpDefinition {
  readonly inputs: readonly InputDefinition[];
  /** Attributes that TensorFlow derives from the types and number of inputs; they are never set. */
  readonly impliedAttributes: ReadonlySet<string>;
}

// Field numbers of tensorflow/core/framework/op_def.proto.
const OP_LIST = { op: 1 } as const;
const OP = { name: 1, input: 2 } as const;
const ARGUMENT = { typeAttribute: 4, numberAttribute: 5, typeListAttribute: 6 } as const;

// And of tensorflow/core/framework/kernel_def.proto.
const KERNEL_LIST = { kernel: 1 } as const;
const KERNEL = { device: 2 } as const;

const TEXT = new TextDecoder();

let definitions: Map<string, Uint8Array> | undefined;
const parsed = new Map<string, OpDefinition>();

/** @throws RangeError when this TensorFlow has no op `name` */
export function opDefinition(api: CApi, name: string): OpDefinition {
  let definition = parsed.get(name);
  if (!definition) {
    const bytes = opDefinitions(api).get(name);
    if (!bytes) throw new RangeError(`TensorFlow ${api.version()} has no op ${name}`);
    definition = parseDefinition(bytes);
    parsed.set(name, definition);
  }
  return definition;
}

export const hasOp = (api: CApi, name: string): boolean => opDefinitions(api).has(name);

/** Whether this TensorFlow has a kernel of an op for a kind of device, such as CPU. */
export function hasKernel(api: CApi, op: string, device: string): boolean {
  const buffer = checked(api, op, (status) => api.registeredKernels(op, status));
  const list = copyBuffer(api, buffer);
  api.deleteBuffer(buffer);
  let has = false;
  readFields(list, (field, kernel) => {
    if (field !== KERNEL_LIST.kernel) return;
    readFields(kernel as Uint8Array, (of, value) => {
      if (of === KERNEL.device) has ||= TEXT.decode(value as Uint8Array) === device;
    });
  });
  return has;
}

/** The serialized OpDef of each op, by its name. */
export function opDefinitions(api: CApi): ReadonlyMap<string, Uint8Array> {
  definitions ??= readDefinitions(api);
  return definitions;
}

function readDefinitions(api: CApi): Map<string, Uint8Array> {
  const buffer = api.allOps();
  const list = copyBuffer(api, buffer);
  api.deleteBuffer(buffer);
  return indexByName(list);
}

function indexByName(list: Uint8Array): Map<string, Uint8Array> {
  const index = new Map<string, Uint8Array>();
  readFields(list, (field, op) => {
    if (field !== OP_LIST.op) return;
    readFields(op as Uint8Array, (f, value) => {
      if (f === OP.name) index.set(TEXT.decode(value as Uint8Array), op as Uint8Array);
    });
  });
  return index;
}

function parseDefinition(bytes: Uint8Array): OpDefinition {
  const inputs: InputDefinition[] = [];
  const impliedAttributes = new Set<string>();
  readFields(bytes, (field, argument) => {
    if (field !== OP.input) return;
    let isList = false;
    readFields(argument as Uint8Array, (f, value) => {
      const marksList = f === ARGUMENT.numberAttribute || f === ARGUMENT.typeListAttribute;
      if (!marksList && f !== ARGUMENT.typeAttribute) return;
      isList ||= marksList;
      impliedAttributes.add(TEXT.decode(value as Uint8Array));
    });
    inputs.push({ isList });
  });
  return { inputs, impliedAttributes };
}

/** Groups flat inputs into single inputs and lists. All lists of one op have the same length, as in all ops of tfjs. */
export function groupInputs<T>(definition: OpDefinition, inputs: readonly T[]): (T | T[])[] {
  const lists = definition.inputs.filter((input) => input.isList).length;
  if (lists === 0) return [...inputs];
  const length = (inputs.length - (definition.inputs.length - lists)) / lists;
  if (!Number.isInteger(length) || length < 0)
    throw new RangeError(`${inputs.length} inputs do not fit the op`);
  let at = 0;
  return definition.inputs.map((input) => {
    if (!input.isList) return inputs[at++] as T;
    at += length;
    return inputs.slice(at - length, at);
  });
}
