// Reductions that TensorFlow has as single ops. None has a gradient.
//   B rows, V entries of a row, N ids, C channels

import { boolAttr, stringAttr, typeAttr } from '../graph/attributes.ts';
import { inFloat32 } from '../graph/precision.ts';
import { DT } from '../native/dtype.ts';
import { executeOp } from '../tfjs/execute.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor2D, tf } from '../tfjs/tf.ts';
import { isBuildingForCpu } from '../tfjs/trace.ts';

/**
 * Sums the values that share an id, for each id in 0 … count−1.
 * @param values float32 of shape [...ids.shape, ...rest]
 * @param ids int32
 * @returns [count, ...rest]
 */
export function segmentSum(values: Tensor, ids: Tensor, count: number): Tensor {
  const attributes = [
    typeAttr('T', DT.float32),
    typeAttr('Tindices', DT.int32),
    typeAttr('Tnumsegments', DT.int32),
  ];
  return executeOp('UnsortedSegmentSum', attributes, [values, ids, tf.scalar(count, 'int32')]);
}

/** Occurrences of each of 0 … count−1 among `ids_N` (int32): float32[count]. */
export const histogram = (ids_N: Tensor1D, count: number): Tensor1D =>
  segmentSum(tf.ones(ids_N.shape), ids_N, count) as Tensor1D;

/** Channels from which a product with ones is faster than a reduction. */
const WIDE = 256;

/**
 * The sum over all axes but the last, [C]. Of wide matrices on CPUs as a product with ones, in half the time; after a
 * convolution oneDNN makes it part of the kernel's gradient (docs/LOG.md).
 * @param x […, C], float32
 */
export function sumOfRows(x: Tensor): Tensor1D {
  const [rows, channels] = x.shape as [number, number];
  if (isBuildingForCpu() && x.rank === 2 && channels >= WIDE)
    return tf.reshape(
      inFloat32(() => tf.matMul(tf.ones([1, rows]), x as Tensor2D)),
      [channels],
    );
  const attributes = [typeAttr('T', DT.float32), stringAttr('data_format', 'NHWC')];
  return executeOp('BiasAddGrad', attributes, [x]) as Tensor1D;
}

/** Σ x², a scalar, in one pass over x. */
export const squaredNorm = (x: Tensor): Scalar =>
  executeOp('L2Loss', [typeAttr('T', DT.float32)], [x]).mul(2) as Scalar;

/**
 * The k-th largest entry of each row, counted from 1: [B, 1]. On CPUs without sorting the row.
 * @param x_BV float32
 */
export function kthLargest(x_BV: Tensor2D, k: number): Tensor2D {
  if (!isBuildingForCpu()) return tf.min(tf.topk(x_BV, k, true).values, 1, true);
  const attributes = [typeAttr('T', DT.float32), boolAttr('reverse', true)];
  return tf.expandDims(executeOp('NthElement', attributes, [x_BV, tf.scalar(k - 1, 'int32')]), 1);
}
