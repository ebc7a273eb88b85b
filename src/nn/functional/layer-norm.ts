// Layer normalization with a gradient that saves x and the mean and deviation of each row. In training its elementwise
// parts are one op each on processors (engine/ops/fused.ts).
//   D channels

import { inFloat32 } from '../../engine/graph/precision.ts';
import { fused, fuses } from '../../engine/ops/fused.ts';
import { isDifferentiating, withGradient } from '../../engine/ops/gradient.ts';
import { sumOfRows } from '../../engine/ops/reductions.ts';
import { rowsOfBlock } from '../../engine/tfjs/row-blocks.ts';
import { type Tensor, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';

/**
 * Layer normalization over the last axis (arXiv 1607.06450), then gain and bias.
 * @param x [..., D]
 * @param gain [D]
 * @param bias [D]
 */
export function affineLayerNorm(x: Tensor, gain: Tensor, bias: Tensor, epsilon: number): Tensor {
  if (rowsOfBlock() !== undefined) return rowwiseNorm(x, epsilon).mul(gain).add(bias);
  return withGradient(
    (save, ...inputs) => {
      const [own, scale, offset] = inputs as [Tensor, Tensor, Tensor];
      const mean = own.mean(-1, true);
      const inverse = varianceOf(own, mean).add(epsilon).rsqrt();
      save([own, mean, inverse, scale]);
      const terms = [own, mean, inverse, scale, offset];
      return {
        value: isDifferentiating() ? fusedOne('norm', terms, affine) : affine(...terms),
        gradFunc: (dy, saved) => gradients(dy, saved as [Tensor, Tensor, Tensor, Tensor]),
      };
    },
    x,
    gain,
    bias,
  );
}

type Elementwise = (...inputs: Tensor[]) => Tensor;

const fusedOne = (name: string, inputs: readonly Tensor[], f: Elementwise): Tensor =>
  fused(name, inputs, (...own) => [f(...own)])[0] as Tensor;

const elementwise = (f: (...inputs: [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]) => Tensor) =>
  f as Elementwise;

const squaredDeviations = elementwise((x, mean) => x.sub(mean).square());

/** Groups of a row's channels that XLA sums: it vectorizes sums along an axis that is not the last one alone. */
const GROUPS = 8;

/** The mean square of the deviations of each row. */
function varianceOf(x: Tensor, mean: Tensor): Tensor {
  const width = x.shape.at(-1) as number;
  if (!isDifferentiating() || !fuses([x]) || width % GROUPS > 0)
    return squaredDeviations(x, mean).mean(-1, true);
  const inGroups = [...x.shape.slice(0, -1), GROUPS, width / GROUPS];
  const [sums] = fused('norm_squares', [x, mean], (...own) => [
    tf.sum(tf.reshape(squaredDeviations(...own), inGroups), -2),
  ]) as [Tensor];
  return sums.sum(-1, true).div(width);
}

const affine = elementwise((x, mean, inverse, gain, bias) => x.sub(mean).mul(inverse).mul(gain).add(bias));
const along = elementwise((dy, x, mean, inverse) => dy.mul(x.sub(mean).mul(inverse)));
const ofInput = elementwise((dy, gain, meanOfDy, meanAlong, x, mean, inverse) =>
  dy.mul(gain).sub(meanOfDy).sub(x.sub(mean).mul(inverse).mul(meanAlong)).mul(inverse),
);

/** The gradients of x, gain and bias. */
function gradients(dy: Tensor, [x, mean, inverse, gain]: [Tensor, Tensor, Tensor, Tensor]): Tensor[] {
  const width = gain.size;
  const rows = (tensor: Tensor): Tensor2D => tf.reshape(tensor, [-1, width]);
  const dyAlong = fusedOne('norm_along', [dy, x, mean, inverse], along);
  const share = tf.reshape(gain.div(width), [width, 1]) as Tensor2D;
  /** The mean of each row of tensor · gain. */
  const meanOf = (tensor: Tensor): Tensor =>
    tf.reshape(
      inFloat32(() => tf.matMul(rows(tensor), share)),
      mean.shape,
    );
  const terms = [dy, gain, meanOf(dy), meanOf(dyAlong), x, mean, inverse];
  return [fusedOne('norm_gradient', terms, ofInput), sumOfRows(rows(dyAlong)), sumOfRows(rows(dy))];
}

/**
 * Normalization without a gradient, in ops that round every row alike. Rsqrt rounds the last entries of an array
 * differently.
 */
function rowwiseNorm(x: Tensor, epsilon: number): Tensor {
  const centred = x.sub(x.mean(-1, true));
  return centred.div(centred.square().mean(-1, true).add(epsilon).sqrt());
}
