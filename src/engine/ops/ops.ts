// TensorFlow ops that tfjs lacks or composes slowly, with their gradients; for models. The same ops run eagerly.

import { boolAttr, stringAttr, typeAttr } from '../graph/attributes.ts';
import { DT } from '../native/dtype.ts';
import { executeOp, executeOps } from '../tfjs/execute.ts';
import { gatherAlong } from '../tfjs/kernels.ts';
import { type Tensor, type Tensor1D, type Tensor2D, tf } from '../tfjs/tf.ts';
import { isBuildingForCpu, isFrozen } from '../tfjs/trace.ts';
import { packedProduct } from './packed-weights.ts';

type Save = (tensors: Tensor[]) => void;

/**
 * tf.customGrad without its loose types: `f` returns the value and how a gradient flows back. What the gradient uses
 * has to go through `save`, inputs too.
 */
export function withGradient<T extends Tensor>(
  f: (
    save: Save,
    ...inputs: Tensor[]
  ) => { value: Tensor; gradFunc: (dy: Tensor, saved: Tensor[]) => Tensor[] },
  ...inputs: Tensor[]
): T {
  const op = tf.customGrad((...args) =>
    f(args[args.length - 1] as unknown as Save, ...(args.slice(0, -1) as Tensor[])),
  );
  return op(...inputs) as T;
}

/** Integers carry no gradient; tfjs wants one of their shape all the same. */
const noGradient = (tensor: Tensor): Tensor => tf.zeros(tensor.shape, 'int32');

/**
 * Rows of a table.
 * @param table_VD float32
 * @param ids int32 of any shape, each in 0 … V−1
 * @returns [...ids.shape, D]
 */
export function gather(table_VD: Tensor, ids: Tensor): Tensor {
  return withGradient(
    (save, table, indices) => {
      save([indices as Tensor]);
      const rows = table_VD.shape[0] as number;
      return {
        value: gatherAlong(table as Tensor, indices as Tensor, 0),
        gradFunc: (dy, [saved]) => [sumsById(dy, saved as Tensor, rows), noGradient(saved as Tensor)],
      };
    },
    table_VD,
    ids,
  );
}

/** The sum of the values that have each of the ids 0 … count−1; ids int32, of the values' first axes. */
function sumsById(values: Tensor, ids: Tensor, count: number): Tensor {
  const attributes = [
    typeAttr('T', DT.float32),
    typeAttr('Tindices', DT.int32),
    typeAttr('Tnumsegments', DT.int32),
  ];
  return executeOp('UnsortedSegmentSum', attributes, [values, ids, tf.scalar(count, 'int32')]);
}

/** How often each of 0 … count−1 occurs among `ids_N`, int32; float32[count]. It has no gradient. */
export const histogram = (ids_N: Tensor1D, count: number): Tensor1D =>
  sumsById(tf.ones(ids_N.shape), ids_N, count) as Tensor1D;

/** Σ x², a scalar, in one pass over x. It has no gradient. */
export const squaredNorm = (x: Tensor): Tensor =>
  executeOp('L2Loss', [typeAttr('T', DT.float32)], [x]).mul(2);

/** x · y, and 0 where y is 0, whatever x is: infinite and not a number too. It has no gradient. */
export const multiplyNoNaN = (x: Tensor, y: Tensor): Tensor =>
  executeOp('MulNoNan', [typeAttr('T', DT.float32)], [x, y]);

/**
 * Of each row the k-th largest entry, counted from 1: [B, 1]. It has no gradient. Processors need not sort for it.
 * @param x_BV float32
 */
export function kthLargest(x_BV: Tensor2D, k: number): Tensor2D {
  if (!isBuildingForCpu()) return tf.min(tf.topk(x_BV, k, true).values, 1, true);
  const attributes = [typeAttr('T', DT.float32), boolAttr('reverse', true)];
  return tf.expandDims(executeOp('NthElement', attributes, [x_BV, tf.scalar(k - 1, 'int32')]), 1);
}

/** Orthonormal columns that span those of x_nr, r ≤ n, by Householder reflections. It has no gradient. */
export const orthonormal = (x_nr: Tensor2D): Tensor2D =>
  executeOps('Qr', [typeAttr('T', DT.float32), boolAttr('full_matrices', false)], [x_nr], 2)[0] as Tensor2D;

/**
 * x + bias along the last axis, as one op that TensorFlow joins with the matrix product before it.
 * @param x_NO [N, O] @param bias_O [O]
 */
export function addBias(x_NO: Tensor, bias_O: Tensor): Tensor {
  const attributes = [typeAttr('T', DT.float32), stringAttr('data_format', 'NHWC')];
  return withGradient(
    (_save, x, bias) => ({
      value: executeOp('BiasAdd', attributes, [x as Tensor, bias as Tensor]),
      gradFunc: (dy) => [dy, executeOp('BiasAddGrad', attributes, [dy])],
    }),
    x_NO,
    bias_O,
  );
}

/**
 * x W + b, or without b. Faster for a function that has W frozen (`CompileOptions`).
 * @param x_NI [N, I] @param weight_IO [I, O] @param bias_O [O]
 */
export function affine(x_NI: Tensor2D, weight_IO: Tensor, bias_O?: Tensor): Tensor {
  if (isFrozen(weight_IO))
    return packedProduct(x_NI, weight_IO, bias_O ?? tf.zeros([weight_IO.shape[1] as number]));
  const product = tf.matMul(x_NI, weight_IO as Tensor2D);
  return bias_O ? addBias(product, bias_O) : product;
}

/** x, whose gradient is multiplied by `factor` on the way back. */
export function scaledGradient(x: Tensor, factor: number): Tensor {
  return withGradient(
    (_save, input) => ({ value: (input as Tensor).clone(), gradFunc: (dy) => [dy.mul(factor)] }),
    x,
  );
}
