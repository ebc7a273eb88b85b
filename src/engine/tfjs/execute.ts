// TensorFlow ops by name on tfjs tensors, eager or recorded: for ops without a tfjs function.

import type { Tensor } from '@tensorflow/tfjs';
import type { Attribute } from '../graph/attributes.ts';
import type { LooseValues } from '../native/tensor.ts';
import type { TensorMetadata } from './eager-binding.ts';
import { tf } from './tf.ts';

/** The members of tfjs-node's backend class that the engine uses. */
export interface NodeBackend {
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

/** Runs or records an op and returns its first output. Needs `useTensorFlow()` (backend.ts). */
export function executeOp(name: string, attributes: readonly Attribute[], inputs: readonly Tensor[]): Tensor {
  return executeOps(name, attributes, inputs, 1)[0] as Tensor;
}

/** Runs or records an op with `count` outputs. */
export function executeOps(
  name: string,
  attributes: readonly Attribute[],
  inputs: readonly Tensor[],
  count: number,
): Tensor[] {
  return (tf.backend() as unknown as NodeBackend).executeMultipleOutputs(name, attributes, inputs, count);
}
