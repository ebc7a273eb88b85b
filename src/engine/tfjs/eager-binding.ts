// The eager binding: does the work of tfjs-node's native addon through the C API's eager calls, so that any plain tfjs
// program runs. tfjs knows tensors by number; this file owns the native handle of each.

import type { HostArray } from '../../util/element-types.ts';
import { ATTR, type Attribute, eagerSetters, setAttribute } from '../graph/attributes.ts';
import { type CApi, capi, checked, type Pointer } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { sessionConfig } from '../native/session-config.ts';
import { createNative, type LooseValues, readNative } from '../native/tensor.ts';

/** Description of an op's output in the form of tfjs-node. */
export interface TensorMetadata {
  readonly id: number;
  readonly shape: number[];
  readonly dtype: number;
}

/** Constants that tfjs-node expects on a binding. */
export const BINDING_CONSTANTS = {
  TF_FLOAT: DT.float32,
  TF_INT32: DT.int32,
  TF_UINT8: DT.uint8,
  TF_STRING: DT.string,
  TF_COMPLEX64: DT.complex64,
  TF_INT64: DT.int64,
  TF_BOOL: DT.bool,
  TF_RESOURCE: DT.resource,
  TF_ATTR_STRING: ATTR.string,
  TF_ATTR_INT: ATTR.int,
  TF_ATTR_FLOAT: ATTR.float,
  TF_ATTR_BOOL: ATTR.bool,
  TF_ATTR_TYPE: ATTR.type,
  TF_ATTR_SHAPE: ATTR.shape,
  TF_ATTR_RESOURCE: 6,
} as const;

/** No GPUs: what is computed while a graph is built is small, and a GPU's memory would be claimed for it. */
const CONFIG = sessionConfig({ gpus: 0 });

export class EagerBinding {
  readonly #api: CApi = capi();
  readonly #context: Pointer;
  readonly #handles = new Map<number, Pointer>();
  readonly TF_Version: string;
  #next = 0;

  constructor() {
    Object.assign(this, BINDING_CONSTANTS);
    const api = this.#api;
    this.TF_Version = api.version();
    const options = api.eagerOptions();
    checked(api, 'eager options', (status) => api.setEagerConfig(options, CONFIG, CONFIG.length, status));
    this.#context = checked(api, 'eager context', (status) => api.eagerContext(options, status));
    api.deleteEagerOptions(options);
  }

  isUsingGpuDevice(): boolean {
    return false;
  }

  getNumOfTensors(): number {
    return this.#handles.size;
  }

  createTensor(shape: readonly number[], dtype: number, values: LooseValues): number {
    const native = createNative(this.#api, dtype, shape, values);
    try {
      return this.#own(checked(this.#api, 'tensor', (status) => this.#api.eagerHandle(native, status)));
    } finally {
      this.#api.deleteTensor(native);
    }
  }

  deleteTensor(id: number): void {
    this.#api.deleteEagerHandle(this.#handle(id));
    this.#handles.delete(id);
  }

  tensorDataSync(id: number): HostArray | Uint8Array[] {
    const native = this.resolve(id);
    try {
      return readNative(this.#api, native);
    } finally {
      this.#api.deleteTensor(native);
    }
  }

  /** The native tensor of a number; the caller deletes it. */
  resolve(id: number): Pointer {
    return checked(this.#api, 'tensor data', (status) => this.#api.eagerResolve(this.#handle(id), status));
  }

  executeOp(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly number[],
    outputCount: number,
  ): TensorMetadata[] {
    const api = this.#api;
    return checked(api, name, (status) => {
      const op = api.eagerOp(this.#context, name, status);
      if (api.statusCode(status) !== 0) return [];
      try {
        const set = eagerSetters(api);
        // Inputs first: types derived from them override a wrong attribute, as in tfjs-node's Mean of integers.
        for (const input of inputs) {
          api.eagerAddInput(op, this.#handle(input), status);
          if (api.statusCode(status) !== 0) return [];
        }
        for (const attribute of attributes) setAttribute(set, op, attribute, status);
        const outputs: (Pointer | null)[] = new Array(outputCount).fill(null);
        const count = [outputCount];
        api.eagerExecute(op, outputs, count, status);
        if (api.statusCode(status) !== 0) return [];
        return outputs.slice(0, count[0]).map((handle) => this.#describe(handle as Pointer, status));
      } finally {
        api.deleteEagerOp(op);
      }
    });
  }

  #describe(handle: Pointer, status: Pointer): TensorMetadata {
    const api = this.#api;
    const shape = Array.from({ length: api.eagerRank(handle, status) }, (_, i) =>
      Number(api.eagerDim(handle, i, status)),
    );
    return { id: this.#own(handle), shape, dtype: api.eagerType(handle) };
  }

  #own(handle: Pointer): number {
    const id = this.#next++;
    this.#handles.set(id, handle);
    return id;
  }

  #handle(id: number): Pointer {
    const handle = this.#handles.get(id);
    if (handle === undefined) throw new Error(`Delete called on a Tensor not referenced (tensor_id: ${id})`);
    return handle;
  }
}
