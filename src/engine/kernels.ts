// tfjs-node kernels and tfjs gradients replaced by better ones, for every model at once: some read values back,
// which recording cannot do, others are composed of many ops where TensorFlow has one.

import type { Tensor, TensorInfo } from '@tensorflow/tfjs';
import { boolAttr, intAttr, typeAttr } from './attributes.ts';
import { DT, dtypeOf } from './dtype.ts';
import { executeOp } from './execute.ts';
import { rowsOfBlock } from './row-blocks.ts';
import { tf } from './tf.ts';

export function replaceKernels(): void {
  replaceKernel<{ x: Tensor; indices: Tensor }, { axis: number; batchDims: number }>(
    'GatherV2',
    ({ x, indices }, { axis, batchDims }) => gatherAlong(x, indices, axis, batchDims),
  );
  const batchMatMul = tf.getKernel('BatchMatMul', 'tensorflow').kernelFunc;
  replaceKernel<{ a: Tensor; b: Tensor }, { transposeA: boolean; transposeB: boolean }>(
    'BatchMatMul',
    ({ a, b }, { transposeA, transposeB }, call) =>
      a.shape.length === 2 && b.shape.length === 2
        ? matMulInBlocks(a, b, transposeA, transposeB)
        : (batchMatMul(call as never) as Tensor),
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
  kernel: (inputs: Inputs, attributes: Attributes, call: unknown) => Tensor,
): void {
  tf.unregisterKernel(kernelName, 'tensorflow');
  tf.registerKernel({
    kernelName,
    backendName: 'tensorflow',
    kernelFunc: (call) =>
      tf.tidy(() => kernel(call.inputs as Inputs, call.attrs as unknown as Attributes, call)) as TensorInfo,
  });
}

/** TensorFlow's GatherV2. tfjs-node's kernel reads the indices back to check them; TensorFlow checks them itself. */
export function gatherAlong(x: Tensor, indices: Tensor, axis: number, batchDims = 0): Tensor {
  const attributes = [
    intAttr('batch_dims', batchDims),
    typeAttr('Tparams', dtypeOf(x)),
    typeAttr('Tindices', dtypeOf(indices)),
    typeAttr('Taxis', DT.int32),
  ];
  return executeOp('GatherV2', attributes, [x, indices, tf.scalar(axis, 'int32')]);
}

/** See row-blocks.ts. */
function matMulInBlocks(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  const [rows, block] = [a.shape[0] as number, rowsOfBlock()];
  if (block === undefined || transposeA || rows === block) return matMul(a, b, transposeA, transposeB);
  if (rows % block !== 0) throw new RangeError(`a product of ${rows} rows is not one of blocks of ${block}`);
  const blocks = tf.split(a, rows / block, 0);
  return tf.concat(
    blocks.map((part) => matMul(part, b, false, transposeB)),
    0,
  );
}

/** The product of two matrices: faster than a batch of one, and what Grappler's fusions look for. */
function matMul(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  const attributes = [
    boolAttr('transpose_a', transposeA),
    boolAttr('transpose_b', transposeB),
    typeAttr('T', dtypeOf(a)),
  ];
  return executeOp('MatMul', attributes, [a, b]);
}
