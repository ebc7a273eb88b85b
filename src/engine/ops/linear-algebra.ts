// Linear algebra in TensorFlow's own ops.
//   M rows, C channels in, O channels out, n rows and r columns of an orthonormal basis

import { boolAttr, intAttr, stringAttr, typeAttr } from '../graph/attributes.ts';
import { DT } from '../native/dtype.ts';
import { executeOp, executeOps } from '../tfjs/execute.ts';
import { rowsOfBlock } from '../tfjs/row-blocks.ts';
import { type Tensor, type Tensor2D, tf } from '../tfjs/tf.ts';
import { frozenVariable, multipliesOnCpu, releasesFrozen } from '../tfjs/trace.ts';
import { withGradient } from './gradient.ts';
import { packedProduct } from './packed-weights.ts';
import { sumOfRows } from './reductions.ts';

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
  if (bias_O && fusesBias()) return fusedAffine(x_MC, weight_CO as Tensor2D, bias_O);
  const product = tf.matMul(x_MC, weight_CO as Tensor2D);
  return bias_O ? addBias(product, bias_O) : product;
}

/** Products of 16 bits keep their bias in float32, GPUs have the fused op for some types only, and blocks are cut. */
const fusesBias = (): boolean => multipliesOnCpu() && rowsOfBlock() === undefined;

/** x W + b as one op, which adds the bias while the product is in the cache. */
function fusedAffine(x_MC: Tensor2D, weight_CO: Tensor2D, bias_O: Tensor): Tensor {
  const attributes = [
    typeAttr('T', DT.float32),
    intAttr('num_args', 1),
    stringAttr('fused_ops', ['BiasAdd']),
    boolAttr('transpose_a', false),
    boolAttr('transpose_b', false),
  ];
  return withGradient(
    (save, ...inputs) => {
      save(inputs.slice(0, 2));
      return {
        value: executeOp('_FusedMatMul', attributes, inputs),
        gradFunc: (dy, [x, weight]) => [
          tf.matMul(dy as Tensor2D, weight as Tensor2D, false, true),
          tf.matMul(x as Tensor2D, dy as Tensor2D, true, false),
          sumOfRows(dy),
        ],
      };
    },
    x_MC,
    weight_CO,
    bias_O,
  );
}

/**
 * x + bias along the last axis, as one op, which oneDNN makes part of a convolution before it; forwards and backwards.
 * @param x […, O] @param bias_O [O]
 */
export function addBias<T extends Tensor>(x: T, bias_O: Tensor): T {
  return withGradient(
    (_save, ...inputs) => ({
      value: executeOp('BiasAdd', [typeAttr('T', DT.float32), stringAttr('data_format', 'NHWC')], inputs),
      gradFunc: (dy) => [dy, sumOfRows(dy)],
    }),
    x,
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
