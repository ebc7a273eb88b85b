// TensorFlow ops that tfjs lacks or composes slowly, with their gradients; for models. The same ops run eagerly.

import { boolAttr, stringAttr, typeAttr } from '../graph/attributes.ts';
import { DT } from '../native/dtype.ts';
import { executeOp, executeOps } from '../tfjs/execute.ts';
import { gatherAlong } from '../tfjs/kernels.ts';
import { rowsOfBlock } from '../tfjs/row-blocks.ts';
import { type Tensor, type Tensor1D, type Tensor2D, type Tensor4D, tf } from '../tfjs/tf.ts';
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
