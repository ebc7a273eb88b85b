// The Gaussian error linear unit.

import { withGradient } from '../../engine/ops/gradient.ts';
import { type Tensor, tf } from '../../engine/tfjs/tf.ts';

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

/** GELU's approximation by a hyperbolic tangent (arXiv 1606.08415, section 2), as GPT-2 has it. */
export function geluTanh(x: Tensor): Tensor {
  const cubic = tf.mul(x, tf.add(tf.mul(tf.square(x), 0.044715), 1));
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(tf.mul(cubic, Math.sqrt(2 / Math.PI))), 1));
}
