// tfjs for the whole project: models write plain tfjs and import it from here. It is loaded through `require`, as in
// tfjs-node's kernels, so that both use one instance. backend.ts registers the backend.

import { createRequire } from 'node:module';
import type * as TensorFlow from '@tensorflow/tfjs';

export type {
  DataType,
  Rank,
  Scalar,
  Tensor,
  Tensor1D,
  Tensor2D,
  Tensor3D,
  Tensor4D,
  TensorLike,
} from '@tensorflow/tfjs';

export const tf = createRequire(import.meta.url)('@tensorflow/tfjs') as typeof TensorFlow;
