// One-hot codes with a gradient, from a relaxed sample: straight-through and ReinMax.
//   V vocabulary

import { withGradient } from '../../engine/ops/gradient.ts';
import { type Tensor, type Tensor1D, tf } from '../../engine/tfjs/tf.ts';

/** One-hot of the largest entry along the last axis. The gradient is passed to `soft` unchanged (arXiv 1308.3432). */
export function straightThrough<T extends Tensor>(soft: T): T {
  return withGradient<T>((_save, x) => ({ value: hardest(x as Tensor), gradFunc: (dy) => [dy] }), soft);
}

/**
 * One-hot of the largest entry of `soft` with ReinMax's second-order gradient for the logits (arXiv 2304.08612,
 * algorithm 2).
 * @param logits [..., V]
 * @param soft relaxed sample of the logits, [..., V]
 * @param temperature of the relaxation, a scalar
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
