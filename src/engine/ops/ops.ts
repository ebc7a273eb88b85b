// TensorFlow ops that tfjs lacks or composes slowly, with their gradients; for models. The same ops run eagerly.

import { typeAttr } from '../graph/attributes.ts';
import { DT } from '../native/dtype.ts';
import { executeOps } from '../tfjs/execute.ts';
import { rowsOfBlock } from '../tfjs/row-blocks.ts';
import { type Tensor, type Tensor1D, type Tensor2D, type Tensor4D, tf } from '../tfjs/tf.ts';
import { noGradient, withGradient } from './gradient.ts';

/**
 * Cross entropy of each row against its label, in nats.
 * @param logits_NV float32
 * @param labels_N int32 in 0 … V−1
 */
export function sparseCrossEntropy(logits_NV: Tensor2D, labels_N: Tensor1D): Tensor1D {
  const labelShape = labels_N;
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
        gradFunc: (dy, [saved]) => [(saved as Tensor).mul(dy.expandDims(-1)), noGradient(labelShape)],
      };
    },
    logits_NV,
    labels_N,
  );
}

/** Nearest-neighbour upsampling to twice the height and width: [B, H, W, C] to [B, 2H, 2W, C]. */
export function upsample2x(x_BHWC: Tensor4D): Tensor4D {
  return withGradient<Tensor4D>((_save, x) => {
    const [, height, width] = (x as Tensor4D).shape;
    return {
      value: tf.image.resizeNearestNeighbor(x as Tensor4D, [2 * height, 2 * width]),
      gradFunc: (dy) => [tf.avgPool(dy as Tensor4D, 2, 2, 'valid').mul(4)],
    };
  }, x_BHWC);
}

/**
 * Layer normalisation over the last axis (arXiv 1607.06450), then gain and bias.
 * @param x [..., D]
 * @param gain [D]
 * @param bias [D]
 */
export function layerNorm(x: Tensor, gain: Tensor, bias: Tensor, epsilon: number): Tensor {
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
 * The same without a gradient, in ops that round every row alike. Rsqrt does not, at the end of an array, and it is
 * what TensorFlow makes of a quotient by a root; the maximum, which changes nothing, keeps it from that.
 */
function rowwiseNorm(x: Tensor, epsilon: number): Tensor {
  const centred = x.sub(x.mean(-1, true));
  const deviation = centred.square().mean(-1, true).add(epsilon).sqrt();
  return centred.div(deviation.maximum(tf.scalar(0)));
}

/** x · Φ(x), exactly (arXiv 1606.08415). */
export function gelu(x: Tensor): Tensor {
  return withGradient((save, input) => {
    const cdf = (input as Tensor).mul(Math.SQRT1_2).erf().add(1).mul(0.5);
    save([input as Tensor, cdf]);
    return {
      value: (input as Tensor).mul(cdf),
      gradFunc: (dy, [saved, phi]) => {
        const density = (saved as Tensor)
          .square()
          .mul(-0.5)
          .exp()
          .mul(1 / Math.sqrt(2 * Math.PI));
        return [dy.mul((saved as Tensor).mul(density).add(phi as Tensor))];
      },
    };
  }, x);
}

/** One-hot of the largest entry along the last axis; the gradient passes as if it were `soft` itself. */
export function straightThrough<T extends Tensor>(soft: T): T {
  return withGradient<T>((_save, x) => ({ value: hardest(x as Tensor), gradFunc: (dy) => [dy] }), soft);
}

/**
 * The same with ReinMax's gradient of second order (arXiv 2304.08612, algorithm 2), which flows to the logits.
 * @param logits [..., V]
 * @param soft a relaxed sample of them, whose largest entry is the one sampled
 * @param temperature scalar that it was relaxed with
 */
export function reinmax<T extends Tensor>(logits: T, soft: T, temperature: Tensor): T {
  return withGradient<T>(
    (save, l, s) => {
      const sample = hardest(s as Tensor);
      const before = tf.softmax(l as Tensor);
      const middle = tf
        .softmax((l as Tensor).div(temperature))
        .add(sample)
        .mul(0.5);
      save([before, middle]);
      return {
        value: sample,
        gradFunc: (dy, [p, q]) => [
          softmaxGradient(q as Tensor, dy)
            .mul(2)
            .sub(softmaxGradient(p as Tensor, dy).mul(0.5)),
          tf.zerosLike(dy),
        ],
      };
    },
    logits,
    soft,
  );
}

const hardest = (x: Tensor): Tensor =>
  tf.oneHot(x.argMax(-1) as Tensor1D, x.shape.at(-1) as number, 1, 0, 'float32');

/** How a gradient flows back through y = softmax(x) over the last axis. */
const softmaxGradient = (y: Tensor, dy: Tensor): Tensor => dy.sub(dy.mul(y).sum(-1, true)).mul(y);
