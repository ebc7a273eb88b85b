// Cross entropy of logits and labels as one op with its gradient.
//   N rows, V classes

import { typeAttr } from '../../engine/graph/attributes.ts';
import { DT } from '../../engine/native/dtype.ts';
import { withGradient } from '../../engine/ops/gradient.ts';

import { executeOps } from '../../engine/tfjs/execute.ts';
import { type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';

/**
 * Cross entropy of each row of logits and its label, in nats.
 * @param logits_NV float32
 * @param labels_N int32, each in 0 … V−1
 * @returns [N], float32
 */
export function sparseCrossEntropy(logits_NV: Tensor2D, labels_N: Tensor1D): Tensor1D {
  return withGradient<Tensor1D>(
    (save, logits, labels) => {
      const attributes = [typeAttr('T', DT.float32), typeAttr('Tlabels', DT.int32)];
      const [loss, gradient] = executeOps(
        'SparseSoftmaxCrossEntropyWithLogits',
        attributes,
        [logits as Tensor, labels as Tensor],
        2,
      );
      save([gradient as Tensor]);
      return {
        value: loss as Tensor,
        // Integers have no gradient; tfjs wants a tensor of their shape all the same.
        gradFunc: (dy, [saved]) => [
          (saved as Tensor).mul(dy.expandDims(-1)),
          tf.zeros(labels_N.shape, 'int32'),
        ],
      };
    },
    logits_NV,
    labels_N,
  );
}
