// The tfjs backend: tfjs-node's kernels on the engine's bindings. Outside a compiled function ops run eagerly; while a
// function is being built they are recorded. `useTensorFlow` registers it and loads libtensorflow.

import { createRequire } from 'node:module';
import type { KernelBackend, Tensor } from '@tensorflow/tfjs';
import type { Attribute } from '../graph/attributes.ts';
import { currentOrigin, describeOrigin } from '../graph/origin.ts';
import type { GraphOutput } from '../native/capi.ts';
import type { LooseValues } from '../native/tensor.ts';
import { BINDING_CONSTANTS, EagerBinding, type TensorMetadata } from './eager-binding.ts';
import type { NodeBackend } from './execute.ts';
import { traceGradients } from './gradient-origin.ts';
import { replaceKernels } from './kernels.ts';
import { isRecorded, type RecordingBinding } from './recording-binding.ts';
import { NodeJSKernelBackend, tf } from './tf.ts';

/** Forwards each call to the eager binding, or to the recording binding while a function is being built. */
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
    return (this.recording ?? this.eager).createTensor(shape, dtype, values);
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
      throw new Error(
        `a tensor of a compiled function was used outside of it${describeOrigin(currentOrigin())}`,
      );
    }
    return this.eager;
  }
}

interface Engine {
  readonly binding: SwitchingBinding;
  readonly backend: NodeBackend;
}

let engine: Engine | undefined;

/** Registers the backend under the name that tfjs-node's kernels expect. Idempotent. */
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
 * Restores util.isNullOrUndefined and util.isArray, which tfjs-node 4.22 calls: Node 22 deprecates them, Node 23
 * removed the first (tensorflow/tfjs#8609).
 */
function replaceRemovedUtil(util: Record<string, unknown>): void {
  util.isNullOrUndefined = (value: unknown): boolean => value === null || value === undefined;
  util.isArray = Array.isArray;
}

/** Runs `body`; its ops are recorded instead of executed. */
export function record<T>(recording: RecordingBinding, body: () => T): T {
  const { binding } = useTensorFlow();
  const outer = binding.recording;
  binding.recording = recording;
  try {
    return body();
  } finally {
    binding.recording = outer;
  }
}

/** Wraps a graph output as a tfjs tensor of the function being built. */
export function wrapOutput(recording: RecordingBinding, output: GraphOutput): Tensor {
  return useTensorFlow().backend.createOutputTensor(recording.register(output));
}

/** The graph output of a tfjs tensor of the function being built. */
export function outputOf(recording: RecordingBinding, tensor: Tensor): GraphOutput {
  const [id] = useTensorFlow().backend.getInputTensorIds([tensor]);
  return recording.output(id as number);
}
