// tfjs for the whole project: models write plain tfjs and import it from here. Loaded through require because
// tfjs-node's kernels do so too, and both must see one instance. The backend is registered by backend.ts.

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
