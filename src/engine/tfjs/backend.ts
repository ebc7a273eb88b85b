// The tfjs backend: tfjs-node's kernels over our bindings. Outside a compiled function ops run eagerly; while
// one is being built they are recorded. Importing this file sets tfjs up and loads libtensorflow at first use.

import { createRequire } from 'node:module';
import type { KernelBackend, Tensor } from '@tensorflow/tfjs';
import type { Attribute } from '../graph/attributes.ts';
import { byModelLine, whereNow } from '../graph/origin.ts';
import type { Output } from '../native/capi.ts';
import type { LooseValues } from '../native/tensor.ts';
import { BINDING_CONSTANTS, EagerBinding, type TensorMetadata } from './eager-binding.ts';
import type { NodeBackend } from './execute.ts';
import { traceGradients } from './gradient-origin.ts';
import { replaceKernels } from './kernels.ts';
import { isRecorded, type RecordingBinding } from './recording-binding.ts';
import { NodeJSKernelBackend, tf } from './tf.ts';

/** Hands each call to the eager binding, or to the recording one while a function is being built. */
class SwitchingBinding {
  readonly eager = new EagerBinding();
  recording: RecordingBinding | undefined;
  readonly TF_Version = this.eager.TF_Version;

  constructor() {
    Object.assign(this, BINDING_CONSTANTS);
  }

  isUsingGpuDevice(): boolean {
    return false;
  }

  getNumOfTensors(): number {
    return this.eager.getNumOfTensors();
  }

  createTensor(shape: readonly number[], dtype: number, values: LooseValues): number {
    return this.eager.createTensor(shape, dtype, values);
  }

  deleteTensor(id: number): void {
    if (this.recording) this.recording.deleteTensor(id);
    else if (!isRecorded(id)) this.eager.deleteTensor(id);
  }

  tensorDataSync(id: number) {
    return (this.recording ?? this.#eagerFor([id])).tensorDataSync(id);
  }

  executeOp(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly number[],
    count: number,
  ): TensorMetadata[] {
    return (this.recording ?? this.#eagerFor(inputs)).executeOp(name, attributes, inputs, count);
  }

  #eagerFor(inputs: readonly number[]): EagerBinding {
    if (inputs.some(isRecorded)) {
      throw new Error(`a tensor of a compiled function was used outside of it${byModelLine(whereNow())}`);
    }
    return this.eager;
  }
}

interface Engine {
  readonly binding: SwitchingBinding;
  readonly backend: NodeBackend;
}

let engine: Engine | undefined;

/** Registers the backend under the name that tfjs-node's kernels look up. Idempotent. */
export function useTensorFlow(): Engine {
  if (engine) return engine;
  replaceRemovedUtil(createRequire(import.meta.url)('node:util') as Record<string, unknown>);
  const binding = new SwitchingBinding();
  const Backend = NodeJSKernelBackend as new (binding: SwitchingBinding, packageName: string) => NodeBackend;
  const backend = new Backend(binding, 'mm');
  tf.registerBackend('tensorflow', () => backend as unknown as KernelBackend, 3);
  void tf.setBackend('tensorflow'); // synchronous: the factory above is
  engine = { binding, backend };
  replaceKernels();
  traceGradients();
  return engine;
}

/**
 * tfjs-node 4.22 calls util.isNullOrUndefined and util.isArray: Node 22 warns of them, Node 23 removed the first
 * (tensorflow/tfjs#8609).
 */
function replaceRemovedUtil(util: Record<string, unknown>): void {
  util.isNullOrUndefined = (value: unknown): boolean => value === null || value === undefined;
  util.isArray = Array.isArray;
}

/** Records what `body` computes. */
export function record<T>(recording: RecordingBinding, body: () => T): T {
  const { binding } = useTensorFlow();
  binding.recording = recording;
  try {
    return body();
  } finally {
    binding.recording = undefined;
  }
}

/** A graph output as a tfjs tensor of the function being built. */
export function wrapOutput(recording: RecordingBinding, output: Output): Tensor {
  return useTensorFlow().backend.createOutputTensor(recording.register(output));
}

/** The graph output behind a tfjs tensor of the function being built. */
export function outputOf(recording: RecordingBinding, tensor: Tensor): Output {
  const [id] = useTensorFlow().backend.getInputTensorIds([tensor]);
  return recording.output(id as number);
}
