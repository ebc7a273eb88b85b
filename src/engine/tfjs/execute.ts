// TensorFlow ops by name on tfjs tensors, eagerly or recorded: for what tfjs has no function for.

import type { Tensor } from '@tensorflow/tfjs';
import type { Attribute } from '../graph/attributes.ts';
import type { LooseValues } from '../native/tensor.ts';
import type { TensorMetadata } from './eager-binding.ts';
import { tf } from './tf.ts';

/** What of tfjs-node's backend class the engine uses. */
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

/** The op's first output. The backend must be set, see backend.ts. */
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
  return (tf.backend() as unknown as NodeBackend).executeMultipleOutputs(name, attributes, inputs, count);
}
