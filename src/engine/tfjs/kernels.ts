// Replacements of tfjs-node kernels and tfjs gradients: of those that read values back, which recording does not allow,
// and of those that compose several ops where TensorFlow has one.

import type { Tensor, TensorInfo } from '@tensorflow/tfjs';
import { boolAttr, intAttr, typeAttr } from '../graph/attributes.ts';
import { DT, dtypeOf } from '../native/dtype.ts';
import { oneDnnTakesAvx512 } from '../native/processor.ts';
import { executeOp, executeOps } from './execute.ts';
import { rowsOfBlock } from './row-blocks.ts';
import { tf } from './tf.ts';
import { multipliesOnCpu } from './trace.ts';

export function replaceKernels(): void {
  replaceKernel<{ x: Tensor; indices: Tensor }, { axis: number; batchDims: number }>(
    'GatherV2',
    ({ x, indices }, { axis, batchDims }) => gatherAlong(x, indices, axis, batchDims),
  );
  const batchMatMul = tf.getKernel('BatchMatMul', 'tensorflow').kernelFunc;
  replaceKernel<{ a: Tensor; b: Tensor }, { transposeA: boolean; transposeB: boolean }>(
    'BatchMatMul',
    ({ a, b }, { transposeA, transposeB }, call) => {
      if (a.shape.length === 2 && b.shape.length === 2) return matMulInBlocks(a, b, transposeA, transposeB);
      if (isOfVectors(a, transposeA) && multipliesOnCpu()) return productOfVectors(a, b, transposeB);
      return batchMatMul(call as never) as Tensor;
    },
  );
  const padWith = tf.getKernel('PadV2', 'tensorflow').kernelFunc;
  replaceKernel<{ x: Tensor }, { paddings: [number, number][]; constantValue: number }>(
    'PadV2',
    ({ x }, { paddings, constantValue }, call) =>
      constantValue === 0 ? padWithZeros(x, paddings) : (padWith(call as never) as Tensor),
  );
  const splitV = tf.getKernel('SplitV', 'tensorflow').kernelFunc;
  replaceKernel<{ x: Tensor }, { numOrSizeSplits: number | number[]; axis: number }>(
    'SplitV',
    ({ x }, { numOrSizeSplits, axis }, call) => {
      const count = partsOfOneSize(numOrSizeSplits);
      return count === undefined ? (splitV(call as never) as Tensor[]) : splitEqually(x, count, axis);
    },
  );
  tf.registerGradient({
    kernelName: 'Relu',
    outputsToSave: [true],
    gradFunc: (dy, [y]) => ({
      x: () => executeOp('ReluGrad', [typeAttr('T', DT.float32)], [dy as Tensor, y as Tensor]),
    }),
  });
}

function replaceKernel<Inputs, Attributes>(
  kernelName: string,
  kernel: (inputs: Inputs, attributes: Attributes, call: unknown) => Tensor | Tensor[],
): void {
  tf.unregisterKernel(kernelName, 'tensorflow');
  tf.registerKernel({
    kernelName,
    backendName: 'tensorflow',
    kernelFunc: (call) =>
      tf.tidy(() => kernel(call.inputs as Inputs, call.attrs as unknown as Attributes, call)) as
        | TensorInfo
        | TensorInfo[],
  });
}

/** TensorFlow's GatherV2, which checks the indices itself; tfjs-node's kernel reads them back to check them. */
export function gatherAlong(x: Tensor, indices: Tensor, axis: number, batchDims = 0): Tensor {
  const attributes = [
    intAttr('batch_dims', batchDims),
    typeAttr('Tparams', dtypeOf(x)),
    typeAttr('Tindices', dtypeOf(indices)),
    typeAttr('Taxis', DT.int32),
  ];
  return executeOp('GatherV2', attributes, [x, indices, tf.scalar(axis, 'int32')]);
}

/** Pad, which unlike PadV2 takes no value, for which a GPU waits for a copy from its memory. */
function padWithZeros(x: Tensor, paddings: [number, number][]): Tensor {
  const attributes = [typeAttr('T', dtypeOf(x)), typeAttr('Tpaddings', DT.int32)];
  return executeOp('Pad', attributes, [x, tf.tensor2d(paddings, [paddings.length, 2], 'int32')]);
}

/** Into how many parts of one size; undefined for parts of several sizes. */
function partsOfOneSize(split: number | readonly number[]): number | undefined {
  if (typeof split === 'number') return split;
  return split.every((size) => size === split[0]) ? split.length : undefined;
}

/** Split, which is sooner than SplitV: it has no sizes to look at. */
const splitEqually = (x: Tensor, count: number, axis: number): Tensor[] =>
  executeOps(
    'Split',
    [intAttr('num_split', count), typeAttr('T', dtypeOf(x))],
    [tf.scalar(axis, 'int32'), x],
    count,
  );

/** Whether each matrix of x is one row. */
const isOfVectors = (x: Tensor, isTransposed: boolean): boolean => !isTransposed && x.shape.at(-2) === 1;

/**
 * BatchMatMul of rows and matrices, as one query and its cached keys. TensorFlow leaves this version of the op to Eigen,
 * whose product begins sooner than oneDNN's; a row is rounded alike whatever the batch, as with oneDNN.
 */
const productOfVectors = (a: Tensor, b: Tensor, transposeB: boolean): Tensor =>
  executeOp(
    'BatchMatMulV3',
    [
      boolAttr('adj_x', false),
      boolAttr('adj_y', transposeB),
      ...['Ta', 'Tb', 'Tout'].map((type) => typeAttr(type, dtypeOf(a))),
    ],
    [a, b],
  );

/** MatMul in row blocks (row-blocks.ts). */
function matMulInBlocks(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  const [rows, block] = [a.shape[0] as number, rowsOfBlock()];
  if (block === undefined || transposeA || rows === block) return matMul(a, b, transposeA, transposeB);
  const count = Math.ceil(rows / block);
  const missing: [number, number] = [0, count * block - rows];
  const blocks = tf.split(missing[1] > 0 ? tf.pad(a, [missing, [0, 0]]) : a, count, 0);
  const products = tf.concat(
    blocks.map((part) => matMul(part, b, false, transposeB)),
    0,
  );
  return tf.slice(products, [0, 0], [rows, -1]);
}

/** A product of two matrices; gradients of tall ones, on processors, by the op whose kernel is the fastest. */
function matMul(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  const isTall = transposeA !== transposeB && (a.shape[0] as number) >= MIN_ROWS;
  if (!isTall || !multipliesOnCpu()) return product(a, b, transposeA, transposeB);
  return transposeA ? gradientOfWeights(a, b) : gradientOfInputs(a, b);
}

const MIN_ROWS = 512;
const FLOATS_PER_PAGE = 1024;
/** Columns added to rows of whole pages. */
const PADDING = 16;
/** Where 1 / rows + 1 / columns of a product is as much, oneDNN reads the operands in place (`nocopy_checker_avx2`). */
const IN_PLACE = 0.0038;

/**
 * aᵀ b. Numbers below each other in rows of whole pages compete for a few cache lines. With AVX-512 BatchMatMul has a
 * kernel that copies blocks first; without, rows are made longer where MatMul would read them in place (docs/LOG.md).
 */
function gradientOfWeights(a: Tensor, b: Tensor): Tensor {
  const [rows, columns] = [a.shape[1] as number, b.shape[1] as number];
  if (![rows, columns].some(isOfWholePages)) return product(a, b, true, false);
  if (oneDnnTakesAvx512()) return productInBlocks(a, b, true, false);
  if (1 / rows + 1 / columns < IN_PLACE) return product(a, b, true, false);
  return tf.slice(product(padded(a), padded(b), true, false), [0, 0], [rows, columns]);
}

/** a bᵀ. BatchMatMul's kernel for AVX-512 is sooner for sums of more numbers than the result has columns. */
function gradientOfInputs(a: Tensor, b: Tensor): Tensor {
  const [columns, summed] = b.shape as [number, number];
  return oneDnnTakesAvx512() && summed >= columns
    ? productInBlocks(a, b, false, true)
    : product(a, b, false, true);
}

const isOfWholePages = (columns: number): boolean => columns % FLOATS_PER_PAGE === 0;

const padded = (x: Tensor): Tensor =>
  isOfWholePages(x.shape[1] as number)
    ? tf.pad(x, [
        [0, 0],
        [0, PADDING],
      ])
    : x;

const productInBlocks = (a: Tensor, b: Tensor, adjointA: boolean, adjointB: boolean): Tensor =>
  executeOp(
    'BatchMatMulV2',
    [boolAttr('adj_x', adjointA), boolAttr('adj_y', adjointB), typeAttr('T', dtypeOf(a))],
    [a, b],
  );

function product(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  const attributes = [
    boolAttr('transpose_a', transposeA),
    boolAttr('transpose_b', transposeB),
    typeAttr('T', dtypeOf(a)),
  ];
  return executeOp('MatMul', attributes, [a, b]);
}
