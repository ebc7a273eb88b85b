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

const TANH_SCALE = Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;

/** GELU's approximation x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2 (arXiv 1606.08415, section 2). */
export function geluTanh(x: Tensor): Tensor {
  return withGradient((save, input) => {
    const own = input as Tensor;
    const tanh = tf.tanh(own.square().mul(CUBIC).add(1).mul(own).mul(TANH_SCALE));
    save([own, tanh]);
    return {
      value: tanh.add(1).mul(own).mul(0.5),
      gradFunc: (dy, [saved, t]) => {
        const inner = (saved as Tensor)
          .square()
          .mul(3 * CUBIC)
          .add(1)
          .mul(TANH_SCALE);
        const slope = (t as Tensor)
          .square()
          .neg()
          .add(1)
          .mul(inner)
          .mul(saved as Tensor);
        return [dy.mul((t as Tensor).add(1).add(slope).mul(0.5))];
      },
    };
  }, x);
}
