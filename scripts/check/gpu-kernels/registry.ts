// Which kernels a build of libtensorflow has for GPUs, and which of their tensors stay in the host's memory. The registry
// can be read where there is no GPU.

import { opDefinitions } from '../../../src/engine/graph/op-definitions.ts';
import type { CApi, Pointer } from '../../../src/engine/native/capi.ts';
import { checked, copyBuffer } from '../../../src/engine/native/capi.ts';
import { koffi } from '../../../src/engine/native/koffi.ts';
import { readFields } from '../../../src/util/protobuf.ts';

// Field numbers of kernel_def.proto, attr_value.proto and op_def.proto.
const KERNEL_LIST = { kernel: 1 } as const;
const KERNEL = { device: 2, constraint: 3, hostMemory: 4, label: 5 } as const;
const CONSTRAINT = { name: 1, allowed: 2 } as const;
const ALLOWED = { list: 1 } as const;
const LIST = { type: 6 } as const;
const OP = { input: 2, output: 3 } as const;
const ARGUMENT = { name: 1, number: 5, typeList: 6 } as const;

/** Kernels of DEFAULT are for every device. */
const DEVICES: ReadonlySet<string> = new Set(['GPU', 'DEFAULT']);

const TEXT = new TextDecoder();
const text = (value: Uint8Array | number): string => TEXT.decode(value as Uint8Array);

interface Kernel {
  readonly types: ReadonlyMap<string, ReadonlySet<number>>;
  readonly hostMemory: ReadonlySet<string>;
}

interface Argument {
  readonly name: string;
  readonly isList: boolean;
}

/** Where an op runs on a machine with a GPU, and the memory of its inputs and outputs, one entry for each tensor. */
export interface Placement {
  readonly isOnGpu: boolean;
  readonly inputsOnHost: readonly boolean[];
  readonly outputsOnHost: readonly boolean[];
}

export class KernelRegistry {
  readonly #api: CApi;
  readonly #calls;
  readonly #kernels = new Map<string, readonly Kernel[]>();
  readonly #arguments = new Map<string, { readonly inputs: Argument[]; readonly outputs: Argument[] }>();

  /** @param library the path of the library that `api` was loaded from */
  constructor(api: CApi, library: string) {
    this.#api = api;
    const loaded = koffi.load(library);
    const func = (signature: string) => loaded.func(signature);
    this.#calls = {
      type: func('void TF_OperationGetAttrType(void*, const char*, _Out_ int*, void*)'),
      inputs: func('int TF_OperationInputListLength(void*, const char*, void*)'),
      outputs: func('int TF_OperationOutputListLength(void*, const char*, void*)'),
    };
  }

  /** Whether this build has kernels for GPUs at all. */
  get isForGpus(): boolean {
    return this.#kernelsOf('MatMul').length > 0;
  }

  place(type: string, operation: Pointer): Placement {
    const kernel = this.#kernelsOf(type).find((one) => this.#fits(one, operation));
    const { inputs, outputs } = this.#argumentsOf(type);
    const onHost = (all: readonly Argument[], list: (name: string) => number): boolean[] =>
      all.flatMap(({ name, isList }) =>
        new Array<boolean>(isList ? list(name) : 1).fill(kernel?.hostMemory.has(name) ?? true),
      );
    return {
      isOnGpu: kernel !== undefined,
      inputsOnHost: onHost(inputs, (name) => this.#length(this.#calls.inputs, operation, name)),
      outputsOnHost: onHost(outputs, (name) => this.#length(this.#calls.outputs, operation, name)),
    };
  }

  #length(call: (...args: unknown[]) => number, operation: Pointer, name: string): number {
    return checked(this.#api, 'list', (status) => call(operation, name, status));
  }

  #fits({ types }: Kernel, operation: Pointer): boolean {
    return [...types].every(([name, allowed]) => {
      const value = [0];
      checked(this.#api, 'type', (status) => this.#calls.type(operation, name, value, status));
      return allowed.has(value[0] as number);
    });
  }

  #kernelsOf(type: string): readonly Kernel[] {
    const known = this.#kernels.get(type);
    if (known) return known;
    const buffer = checked(this.#api, 'kernels', (status) => this.#api.registeredKernels(type, status));
    const list = copyBuffer(this.#api, buffer);
    this.#api.deleteBuffer(buffer);
    const kernels: Kernel[] = [];
    readFields(list, (field, value) => {
      const kernel = field === KERNEL_LIST.kernel ? gpuKernel(value as Uint8Array) : undefined;
      if (kernel) kernels.push(kernel);
    });
    this.#kernels.set(type, kernels);
    return kernels;
  }

  #argumentsOf(type: string) {
    const known = this.#arguments.get(type);
    if (known) return known;
    const found = { inputs: [] as Argument[], outputs: [] as Argument[] };
    readFields(opDefinitions(this.#api).get(type) as Uint8Array, (field, value) => {
      if (field === OP.input) found.inputs.push(argument(value as Uint8Array));
      if (field === OP.output) found.outputs.push(argument(value as Uint8Array));
    });
    this.#arguments.set(type, found);
    return found;
  }
}

function argument(bytes: Uint8Array): Argument {
  let [name, isList] = ['', false];
  readFields(bytes, (field, value) => {
    if (field === ARGUMENT.name) name = text(value);
    if (field === ARGUMENT.number || field === ARGUMENT.typeList) isList = true;
  });
  return { name, isList };
}

/** Kernels with a label are chosen by name only. */
function gpuKernel(bytes: Uint8Array): Kernel | undefined {
  let [device, label] = ['', ''];
  const types = new Map<string, ReadonlySet<number>>();
  const hostMemory = new Set<string>();
  readFields(bytes, (field, value) => {
    if (field === KERNEL.device) device = text(value);
    if (field === KERNEL.label) label = text(value);
    if (field === KERNEL.hostMemory) hostMemory.add(text(value));
    if (field === KERNEL.constraint) types.set(...constraint(value as Uint8Array));
  });
  return DEVICES.has(device) && label === '' ? { types, hostMemory } : undefined;
}

function constraint(bytes: Uint8Array): [name: string, types: Set<number>] {
  let name = '';
  const types = new Set<number>();
  const addTypes = (list: Uint8Array): void =>
    readFields(list, (field, value) => {
      if (field !== LIST.type) return;
      // Packed: one byte for each type, all of which are below 128.
      for (const type of typeof value === 'number' ? [value] : value) types.add(type);
    });
  readFields(bytes, (field, value) => {
    if (field === CONSTRAINT.name) name = text(value);
    if (field !== CONSTRAINT.allowed) return;
    readFields(value as Uint8Array, (f, list) => {
      if (f === ALLOWED.list) addTypes(list as Uint8Array);
    });
  });
  return [name, types];
}
