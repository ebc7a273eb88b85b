// Layer normalization with a gradient that saves only the normalized values and the inverse deviations.
//   D channels

import { withGradient } from '../../engine/ops/gradient.ts';
import { rowsOfBlock } from '../../engine/tfjs/row-blocks.ts';
import type { Tensor } from '../../engine/tfjs/tf.ts';

/**
 * Layer normalization over the last axis (arXiv 1607.06450), then gain and bias.
 * @param x [..., D]
 * @param gain [D]
 * @param bias [D]
 */
export function affineLayerNorm(x: Tensor, gain: Tensor, bias: Tensor, epsilon: number): Tensor {
  if (rowsOfBlock() !== undefined) return rowwiseNorm(x, epsilon).mul(gain).add(bias);
  const normalized = withGradient<Tensor>((save, input) => {
    const centred = (input as Tensor).sub((input as Tensor).mean(-1, true));
    const inverse = centred.square().mean(-1, true).add(epsilon).rsqrt();
    const value = centred.mul(inverse);
    save([value, inverse]);
    return {
      value,
      gradFunc: (dy, [y, scale]) => {
        const along = dy
          .mul(y as Tensor)
          .mean(-1, true)
          .mul(y as Tensor);
        return [
          dy
            .sub(dy.mean(-1, true))
            .sub(along)
            .mul(scale as Tensor),
        ];
      },
    };
  }, x);
  return normalized.mul(gain).add(bias);
}

/**
 * Normalization without a gradient, in ops that round every row alike. Rsqrt rounds the last entries of an array
 * differently.
 */
function rowwiseNorm(x: Tensor, epsilon: number): Tensor {
  const centred = x.sub(x.mean(-1, true));
  return centred.div(centred.square().mean(-1, true).add(epsilon).sqrt());
}
