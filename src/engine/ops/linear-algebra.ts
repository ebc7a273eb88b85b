// Linear algebra in TensorFlow's own ops.
//   M rows, C channels in, O channels out, n rows and r columns of an orthonormal basis

import { boolAttr, stringAttr, typeAttr } from '../graph/attributes.ts';
import { DT } from '../native/dtype.ts';
import { executeOp, executeOps } from '../tfjs/execute.ts';
import { type Tensor, type Tensor2D, tf } from '../tfjs/tf.ts';
import { frozenVariable, releasesFrozen } from '../tfjs/trace.ts';
import { withGradient } from './gradient.ts';
import { packedProduct } from './packed-weights.ts';

/**
 * x W + b, or x W without b. Faster where W is frozen (`CompileOptions.frozen`).
 * @param x_MC [M, C] @param weight_CO [C, O] @param bias_O [O]
 */
export function affine(x_MC: Tensor2D, weight_CO: Tensor, bias_O?: Tensor): Tensor {
  const frozen = frozenVariable(weight_CO);
  if (frozen) {
    const packed = packedProduct(x_MC, weight_CO, bias_O ?? tf.zeros([weight_CO.shape[1] as number]));
    if (releasesFrozen()) frozen.release(packed);
    return packed;
  }
  const product = tf.matMul(x_MC, weight_CO as Tensor2D);
  return bias_O ? addBias(product, bias_O) : product;
}

/**
 * x + bias along the last axis, as one op, which TensorFlow fuses with the matrix product before it.
 * @param x_MO [M, O] @param bias_O [O]
 */
export function addBias(x_MO: Tensor, bias_O: Tensor): Tensor {
  const attributes = [typeAttr('T', DT.float32), stringAttr('data_format', 'NHWC')];
  return withGradient(
    (_save, x, bias) => ({
      value: executeOp('BiasAdd', attributes, [x as Tensor, bias as Tensor]),
      gradFunc: (dy) => [dy, executeOp('BiasAddGrad', attributes, [dy])],
    }),
    x_MO,
    bias_O,
  );
}

/**
 * Orthonormal columns that span the columns of x, by Householder reflections. It has no gradient.
 * @param x_nr [n, r], r ≤ n
 * @returns [n, r]
 */
export const orthonormal = (x_nr: Tensor2D): Tensor2D =>
  executeOps('Qr', [typeAttr('T', DT.float32), boolAttr('full_matrices', false)], [x_nr], 2)[0] as Tensor2D;
