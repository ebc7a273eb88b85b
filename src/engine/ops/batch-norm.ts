// Batch normalization by TensorFlow's own op and its gradient: one pass for the statistics and one for the result,
// where single ops take seven, and only x is saved.
//   B batch, H height, W width, C channels

import { ATTR, type Attribute, boolAttr, stringAttr, typeAttr } from '../graph/attributes.ts';
import { DT } from '../native/dtype.ts';
import { executeOps } from '../tfjs/execute.ts';
import { type Tensor, tf } from '../tfjs/tf.ts';
import { withGradient } from './gradient.ts';

/**
 * (x − mean) / √(variance + epsilon) · gain + bias, with the mean and variance of each channel over the batch.
 * @param x_BHWC [B, H, W, C] @param gain [C] @param bias [C]
 * @param observe receives the mean and the unbiased variance, both [C]; no gradient goes through them
 */
export function normalizeByBatch(
  x_BHWC: Tensor,
  gain: Tensor,
  bias: Tensor,
  epsilon: number,
  observe: (mean: Tensor, variance: Tensor) => void,
): Tensor {
  const attributes: Attribute[] = [
    typeAttr('T', DT.float32),
    typeAttr('U', DT.float32),
    { name: 'epsilon', type: ATTR.float, value: epsilon },
    stringAttr('data_format', 'NHWC'),
    boolAttr('is_training', true),
  ];
  return withGradient(
    (save, ...[x, scale, offset]) => {
      const none = tf.zeros([0]);
      const inputs = [x, scale, offset, none, none] as Tensor[];
      const [value, mean, variance, ...reserved] = executeOps('FusedBatchNormV2', attributes, inputs, 5) as [
        Tensor,
        Tensor,
        Tensor,
        ...Tensor[],
      ];
      observe(mean, variance);
      save([x, scale, ...reserved] as Tensor[]);
      return {
        value,
        gradFunc: (dy, saved) =>
          executeOps('FusedBatchNormGradV2', attributes, [dy, ...saved], 5).slice(0, 3),
      };
    },
    x_BHWC,
    gain,
    bias,
  );
}
