// Cross entropy of logits and labels with a gradient that reads the probabilities once.
//   N rows, V classes

import { typeAttr } from '../../engine/graph/attributes.ts';
import { DT } from '../../engine/native/dtype.ts';
import { fused, fuses } from '../../engine/ops/fused.ts';
import { withGradient } from '../../engine/ops/gradient.ts';
import { executeOp } from '../../engine/tfjs/execute.ts';
import { type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';

/**
 * Cross entropy of each row of logits and its label, in nats. TensorFlow's SparseSoftmaxCrossEntropyWithLogits takes
 * three times as long on processors (docs/LOG.md): oneDNN has a softmax, and no cross entropy.
 * @param logits_NV float32
 * @param labels_N int32, each in 0 … V−1
 * @returns [N], float32
 */
export function sparseCrossEntropy(logits_NV: Tensor2D, labels_N: Tensor1D): Tensor1D {
  return withGradient<Tensor1D>(
    (save, logits, labels) => {
      const probabilities = tf.softmax(logits as Tensor);
      const entries_N2 = tf.stack([tf.range(0, logits_NV.shape[0], 1, 'int32'), labels as Tensor], 1);
      save([probabilities, entries_N2]);
      // The largest probability is at least 1 / V, so that its logarithm is exact where the label's would underflow.
      const logSum = tf.sub(tf.max(logits as Tensor, -1), tf.log(tf.max(probabilities, -1)));
      return {
        value: tf.sub(logSum, tf.gatherND(logits as Tensor, entries_N2)),
        // Integers have no gradient; tfjs wants a tensor of their shape all the same.
        gradFunc: (dy, [p, entries]) => [
          logitsGradient(dy, p as Tensor, entries as Tensor),
          tf.zeros(labels_N.shape, 'int32'),
        ],
      };
    },
    logits_NV,
    labels_N,
  );
}

/** dy (p − 1) at the entries of the labels, dy p elsewhere. */
function logitsGradient(dy_N: Tensor, p_NV: Tensor, entries_N2: Tensor): Tensor {
  const dy_N1 = tf.expandDims(dy_N, -1);
  if (!fuses([p_NV])) return subtractedAt(tf.mul(p_NV, dy_N1), entries_N2, dy_N);
  const labels_N1 = tf.cast(tf.slice(entries_N2, [0, 1], [-1, 1]), 'float32');
  return fused('cross_entropy_gradient', [dy_N1, p_NV, labels_N1], (dy, p, labels) => {
    const isLabel = tf.equal(labels as Tensor, tf.range(0, p_NV.shape[1] as number));
    return [(p as Tensor).sub(tf.cast(isLabel, 'float32')).mul(dy as Tensor)];
  })[0] as Tensor;
}

/** x minus `values` at these entries of it; x's memory is used where nothing else reads x. */
const subtractedAt = (x: Tensor, entries: Tensor, values: Tensor): Tensor =>
  executeOp(
    'TensorScatterSub',
    [typeAttr('T', DT.float32), typeAttr('Tindices', DT.int32)],
    [x, entries, values],
  );
