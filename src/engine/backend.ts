// The tfjs backend: tfjs-node's kernels over our bindings. Outside a compiled function ops run eagerly; while
// one is being built they are recorded. Importing this file sets tfjs up and loads libtensorflow at first use.

import { createRequire } from 'node:module';
import type { Tensor, TensorInfo } from '@tensorflow/tfjs';
import { type Attribute, intAttr, typeAttr } from './attributes.ts';
import type { Output } from './capi.ts';
import { DT, dtypeOf } from './dtype.ts';
import { BINDING_CONSTANTS, EagerBinding, type TensorMetadata } from './eager-binding.ts';
import { isRecorded, type RecordingBinding } from './recording-binding.ts';
import type { LooseValues } from './tensor.ts';
import { tf } from './tf.ts';

/** What of tfjs-node's backend class the engine uses. */
interface NodeBackend {
  readonly tensorMap: {
    get(dataId: object): { id: number; shape: number[]; dtype: number; values: LooseValues | null };
  };
  createOutputTensor(metadata: TensorMetadata): Tensor;
  getInputTensorIds(tensors: readonly Tensor[]): number[];
  executeMultipleOutputs(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly Tensor[],
    count: number,
  ): Tensor[];
}

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
    if (inputs.some(isRecorded)) throw new Error('a tensor of a compiled function was used outside of it');
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
  const require = createRequire(import.meta.url);
  restoreRemovedUtil(require('node:util') as Record<string, unknown>);
  const { NodeJSKernelBackend } = require('@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend') as {
    NodeJSKernelBackend: new (binding: SwitchingBinding, packageName: string) => NodeBackend;
  };
  const binding = new SwitchingBinding();
  const backend = new NodeJSKernelBackend(binding, 'mm');
  require('@tensorflow/tfjs-node-gpu/dist/register_all_kernels');
  replaceGather();
  tf.registerBackend('tensorflow', () => backend as unknown as import('@tensorflow/tfjs').KernelBackend, 3);
  void tf.setBackend('tensorflow'); // synchronous: the factory above is
  engine = { binding, backend };
  return engine;
}

/** tfjs-node 4.22 calls util.isNullOrUndefined, which Node 23 removed (tensorflow/tfjs#8609). */
function restoreRemovedUtil(util: Record<string, unknown>): void {
  util.isNullOrUndefined ??= (value: unknown): boolean => value === null || value === undefined;
}

/** tfjs-node's GatherV2 reads its indices back to check them, which recording cannot do; TensorFlow checks them itself. */
function replaceGather(): void {
  tf.unregisterKernel('GatherV2', 'tensorflow');
  tf.registerKernel({
    kernelName: 'GatherV2',
    backendName: 'tensorflow',
    kernelFunc: ({ inputs, attrs }) => {
      const { x, indices } = inputs as { x: Tensor; indices: Tensor };
      const { axis, batchDims } = attrs as unknown as { axis: number; batchDims: number };
      return tf.tidy(() => gatherAlong(x, indices, axis, batchDims)) as TensorInfo;
    },
  });
}

/** TensorFlow's GatherV2. */
export function gatherAlong(x: Tensor, indices: Tensor, axis: number, batchDims = 0): Tensor {
  const attributes = [
    intAttr('batch_dims', batchDims),
    typeAttr('Tparams', dtypeOf(x)),
    typeAttr('Tindices', dtypeOf(indices)),
    typeAttr('Taxis', DT.int32),
  ];
  return executeOp('GatherV2', attributes, [x, indices, tf.scalar(axis, 'int32')]);
}

/** Runs one TensorFlow op by name on tfjs tensors, eagerly or recorded; its first output. */
export function executeOp(name: string, attributes: readonly Attribute[], inputs: readonly Tensor[]): Tensor {
  return executeOps(name, attributes, inputs, 1)[0] as Tensor;
}

/** As `executeOp`, for ops of several outputs. */
export function executeOps(
  name: string,
  attributes: readonly Attribute[],
  inputs: readonly Tensor[],
  count: number,
): Tensor[] {
  return useTensorFlow().backend.executeMultipleOutputs(name, attributes, inputs, count);
}

/** Records what `body` computes. */
export function record<T>(recording: RecordingBinding, body: () => T): T {
  const { binding } = useTensorFlow();
  if (binding.recording) throw new Error('a compiled function cannot be built inside another one');
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
