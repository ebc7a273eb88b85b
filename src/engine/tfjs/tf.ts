// tfjs for the whole project: models write plain tfjs and import it from here. The backend is registered by backend.ts.

import { createRequire } from 'node:module';
import type * as TensorFlow from '@tensorflow/tfjs-core';

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

interface Bundled {
  /** What tfjs has beside tfjs-core is not bundled. */
  readonly tf: typeof TensorFlow;
  /** tfjs-node's backend; its type is backend.ts's to say. */
  readonly NodeJSKernelBackend: unknown;
}

// Beside this file: from node_modules in the sources, in one file when built.
export const { tf, NodeJSKernelBackend } = createRequire(import.meta.url)('../bundled/tfjs.cjs') as Bundled;
