// The Gaussian error linear unit and its approximations.

import { activation } from './activation.ts';

/** x · Φ(x), exactly (arXiv 1606.08415). */
export const gelu = activation({
  name: 'gelu',
  inner: (x) => x.mul(Math.SQRT1_2).erf().add(1).mul(0.5),
  value: (x, cdf) => x.mul(cdf),
  slope: (x, cdf) => {
    const density = x
      .square()
      .mul(-0.5)
      .exp()
      .mul(1 / Math.sqrt(2 * Math.PI));
    return x.mul(density).add(cdf);
  },
});

const TANH_SCALE = Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;

/** GELU's approximation x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2 (arXiv 1606.08415, section 2). */
export const geluTanh = activation({
  name: 'gelu_tanh',
  inner: (x) => x.square().mul(CUBIC).add(1).mul(x).mul(TANH_SCALE).tanh(),
  value: (x, tanh) => tanh.add(1).mul(x).mul(0.5),
  slope: (x, tanh) => {
    const inner = x
      .square()
      .mul(3 * CUBIC)
      .add(1)
      .mul(TANH_SCALE);
    const rise = tanh.square().neg().add(1).mul(inner).mul(x);
    return tanh.add(1).add(rise).mul(0.5);
  },
});

const QUICK_SCALE = 1.702;

/** x · σ(1.702 x), GELU's approximation by the logistic function (arXiv 1606.08415, section 2). */
export const quickGelu = activation({
  name: 'quick_gelu',
  inner: (x) => x.mul(QUICK_SCALE).sigmoid(),
  value: (x, sigmoid) => x.mul(sigmoid),
  slope: (x, sigmoid) => sigmoid.neg().add(1).mul(x).mul(QUICK_SCALE).add(1).mul(sigmoid),
});
