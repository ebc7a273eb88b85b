// Every op that models use gives the same values and gradients recorded as eagerly; ops with replaced kernels are also
// compared with plain loops.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import { gather } from '../../src/engine/ops/gather.ts';
import { kthLargest, sumOfRows } from '../../src/engine/ops/reductions.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor1D, type Tensor2D, type Tensor4D, tf } from '../../src/engine/tfjs/tf.ts';
import { convolution, scaledConvolution, upConvolution } from '../../src/nn/convolution.ts';
import { sparseCrossEntropy } from '../../src/nn/functional/cross-entropy.ts';
import { gelu, geluTanh, quickGelu } from '../../src/nn/functional/gelu.ts';
import { affineLayerNorm } from '../../src/nn/functional/layer-norm.ts';
import { reinmax, straightThrough } from '../../src/nn/functional/one-hot.ts';
import { upsample2x } from '../../src/nn/functional/upsample.ts';
import { setEnvironment } from '../support/environment.ts';
import { assertNear, eager, floats, integers, normals, onHost, runEagerly, runRecorded } from './compare.ts';

const runtime = new Runtime();
after(() => runtime.close());

interface Case {
  readonly inputs: readonly HostTensor[];
  readonly body: (...inputs: Tensor[]) => Tensor | Tensor[];
  /** Inputs to differentiate by; none for ops without a gradient. */
  readonly by: readonly number[];
}

const cases: Record<string, Case> = {};
const differentiable = (name: string, inputs: readonly HostTensor[], body: Case['body']): void => {
  const by = inputs.flatMap(({ dtype }, i) => (dtype === 'float32' ? [i] : []));
  cases[name] = { inputs, body, by };
};
const plain = (name: string, inputs: readonly HostTensor[], body: Case['body']): void => {
  cases[name] = { inputs, body, by: [] };
};

const x_23 = normals([2, 3], 'a');
const y_23 = normals([2, 3], 'b');
const row_3 = normals([3], 'c');
const positive_23 = floats([2, 3], [0.1, 0.7, 1, 2.5, 4, 9]);
const x_2346 = normals([2, 3, 4, 6], 'd');
const image_2443 = normals([2, 4, 4, 3], 'e');

differentiable('add', [x_23, row_3], (a, b) => tf.add(a!, b!));
differentiable('sub', [x_23, row_3], (a, b) => tf.sub(a!, b!));
differentiable('mul', [x_23, row_3], (a, b) => tf.mul(a!, b!));
differentiable('div', [x_23, positive_23], (a, b) => tf.div(a!, b!));
differentiable('maximum and minimum', [x_23, y_23], (a, b) => [tf.maximum(a!, b!), tf.minimum(a!, b!)]);
differentiable('pow', [positive_23], (a) => tf.pow(a!, 3));
differentiable('neg, abs, square', [x_23], (a) => [tf.neg(a!), tf.abs(a!), tf.square(a!)]);
differentiable('sqrt, rsqrt, log', [positive_23], (a) => [tf.sqrt(a!), tf.rsqrt(a!), tf.log(a!)]);
differentiable('exp, erf', [x_23], (a) => [tf.exp(a!), tf.erf(a!)]);
differentiable('sigmoid, tanh, relu', [x_23], (a) => [tf.sigmoid(a!), tf.tanh(a!), tf.relu(a!)]);
differentiable('clipByValue', [x_23], (a) => tf.clipByValue(a!, -0.5, 0.5));
// Recorded with another op than the eager one.
plain('kthLargest, with ties', [floats([2, 5], [3, -1, 3, 0, 7, -2, -2, -2, -2, 5])], (a) =>
  [1, 2, 3, 5].map((k) => kthLargest(a as Tensor2D, k)),
);
// Of many channels, which are a product when recorded, and of few.
plain('sumOfRows', [normals([320, 264], 'wide'), normals([320, 24], 'narrow')], (...inputs) =>
  inputs.map((x) => sumOfRows(x)),
);
const TALL = 'products of tall matrices, rows of whole pages among them';
plain(
  TALL,
  [
    normals([512, 1024], 'pages', 0.1),
    normals([512, 24], 'no pages', 0.1),
    normals([7, 1024], 'weight', 0.1),
  ],
  (a, b, weight) => [
    tf.matMul(a as Tensor2D, b as Tensor2D, true),
    tf.matMul(b as Tensor2D, a as Tensor2D, true),
    tf.matMul(a as Tensor2D, a as Tensor2D, true),
    tf.matMul(a as Tensor2D, weight as Tensor2D, false, true),
  ],
);
differentiable('softmax and logSoftmax', [x_23], (a) => [tf.softmax(a!), tf.logSoftmax(a as Tensor2D)]);
differentiable('sum and mean', [x_2346], (a) => [
  tf.sum(a!),
  tf.sum(a!, [0, 2]),
  tf.sum(a!, -1, true),
  tf.mean(a!),
  tf.mean(a!, [1, 3], true),
]);
differentiable('max and min', [x_23], (a) => [tf.max(a!, 1), tf.min(a!, 0)]);
differentiable('moments', [x_2346], (a) => Object.values(tf.moments(a!, [1, 2])) as Tensor[]);
plain('cumsum', [x_23], (a) => [tf.cumsum(a!, 1), tf.cumsum(a!, 0, true, true)]);
for (const [tA, tB] of [
  [false, false],
  [true, false],
  [false, true],
  [true, true],
] as const) {
  const shapes = [tA ? [3, 2] : [2, 3], tB ? [4, 3] : [3, 4]];
  const [a, b] = shapes.map((shape, i) => normals(shape, `matMul ${i}`));
  const [batchA, batchB] = shapes.map((shape, i) => normals([5, ...shape], `batch matMul ${i}`));
  differentiable(`matMul ${tA} ${tB}`, [a!, b!], (p, q) => tf.matMul(p!, q!, tA, tB));
  differentiable(`batch matMul ${tA} ${tB}`, [batchA!, batchB!], (p, q) => tf.matMul(p!, q!, tA, tB));
}
plain('einsum', [x_23, normals([3, 4], 'f')], (a, b) => tf.einsum('ij,jk->ki', a!, b!));
differentiable('conv2d', [image_2443, normals([3, 3, 3, 5], 'g')], (a, b) =>
  tf.conv2d(a as Tensor4D, b as Tensor4D, 1, 'same'),
);
differentiable('conv2d, stride 2', [image_2443, normals([2, 2, 3, 5], 'h')], (a, b) =>
  tf.conv2d(a as Tensor4D, b as Tensor4D, 2, 'valid'),
);
// oneDNN makes the bias a part of the convolution, and its gradient one of the kernel's.
for (const [size, stride] of [
  [1, 1],
  [3, 1],
  [3, 2],
] as const)
  differentiable(
    `convolution with a bias, side ${size}, stride ${stride}`,
    [image_2443, normals([size, size, 3, 5], 'kernel'), normals([5], 'bias')],
    (a, weight, bias) => convolution({ weight: weight!, bias: bias! }, a as Tensor4D, stride),
  );
// Recorded, the gain scales the parameters; op by op, the output.
for (const size of [1, 3])
  differentiable(
    `convolution times a gain, side ${size}`,
    [image_2443, normals([size, size, 3, 5], 'kernel'), normals([5], 'bias')],
    (a, weight, bias) => scaledConvolution({ weight: weight!, bias: bias! }, a as Tensor4D, 1 / 3),
  );
differentiable(
  'transposed convolution with a bias, stride 2',
  [image_2443, normals([4, 4, 5, 3], 'transposed kernel'), normals([5], 'bias')],
  (a, weight, bias) => upConvolution({ weight: weight!, bias: bias! }, a as Tensor4D, 2),
);
differentiable('conv2dTranspose, stride 2', [image_2443, normals([4, 4, 5, 3], 'transposed')], (a, b) =>
  tf.conv2dTranspose(a as Tensor4D, b as Tensor4D, [2, 8, 8, 5], 2, 'same'),
);
differentiable('maxPool and avgPool', [image_2443], (a) => [
  tf.maxPool(a as Tensor4D, 2, 2, 'valid'),
  tf.avgPool(a as Tensor4D, 2, 2, 'valid'),
]);
differentiable('upsample2x', [image_2443], (a) => upsample2x(a as Tensor4D));
differentiable('layerNorm', [x_2346, normals([6], 'i'), normals([6], 'j')], (a, gain, bias) =>
  affineLayerNorm(a!, gain!, bias!, 1e-5),
);
differentiable('straightThrough', [x_23], (a) => straightThrough(tf.softmax(a!)));
differentiable('reinmax', [x_23], (a) => reinmax(a!, tf.softmax(a!), tf.scalar(0.7)));
differentiable('gelu', [x_23], (a) => gelu(a!));
differentiable('geluTanh', [x_23], (a) => geluTanh(a!));
differentiable('quickGelu', [x_23], (a) => quickGelu(a!));
differentiable('gated gelu', [x_23, y_23], (a, b) => gelu.gated(a!, b!));
differentiable('gather', [normals([7, 3], 'k'), integers([2, 2], [6, 0, 3, 3])], (a, ids) =>
  gather(a!, ids!),
);
differentiable('sparseCrossEntropy', [normals([3, 5], 'l'), integers([3], [4, 0, 2])], (a, labels) =>
  sparseCrossEntropy(a as Tensor2D, labels as Tensor1D),
);
differentiable('concat', [x_23, y_23, row_3], (a, b, c) => [
  tf.concat([a!, b!], 0),
  tf.concat([a!, b!, a!], -1),
  tf.concat([tf.reshape(c!, [1, 3]), a!]),
]);
differentiable('stack and unstack', [x_23, y_23], (a, b) => [
  tf.stack([a!, b!], 1),
  ...tf.unstack(tf.mul(a!, b!), 1),
]);
differentiable('addN', [x_23, y_23], (a, b) => tf.addN([a!, b!, tf.mul(a!, b!)]));
differentiable('split, of a part too', [x_2346], (a) => [
  ...tf.split(a!, 3, 3),
  tf.split(a!, [1, 3], 2)[1] as Tensor,
]);
differentiable('slice', [x_2346], (a) => [tf.slice(a!, [0, 1, 0, 2], [2, 2, 4, 3]), tf.slice(a!, [1], [1])]);
differentiable('transpose and reshape', [x_2346], (a) => [
  tf.transpose(a!, [0, 2, 1, 3]),
  tf.reshape(a!, [6, 24]),
  tf.expandDims(a!, 2),
]);
differentiable('pad', [x_2346], (a) =>
  tf.pad(
    a!,
    [
      [1, 0],
      [0, 0],
      [0, 2],
      [0, 0],
    ],
    0.5,
  ),
);
differentiable('tile', [x_23], (a) => tf.tile(a!, [2, 3]));
differentiable('where', [x_23, y_23, integers([2, 3], [1, 0, 0, 1, 1, 0])], (a, b, chosen) =>
  tf.where(tf.greater(chosen!, 0), tf.mul(a!, b!), tf.sub(a!, b!)),
);
plain('stridedSlice', [x_2346], (a) => tf.stridedSlice(a!, [0, 0, 0, 0], [2, 3, 4, 6], [1, 2, 1, 3]));
plain('comparisons', [x_23, y_23], (a, b) => [
  tf.greater(a!, b!),
  tf.less(a!, b!),
  tf.greaterEqual(a!, 0),
  tf.equal(a!, a!),
  tf.logicalAnd(tf.greater(a!, 0), tf.less(b!, 0)),
  tf.logicalNot(tf.greater(a!, 0)),
]);
plain('argMax and argMin', [x_2346], (a) => [tf.argMax(a!, -1), tf.argMax(a!, 0), tf.argMin(a!, 2)]);
plain('topk', [x_23], (a) => Object.values(tf.topk(a!, 2)) as Tensor[]);
plain('rounding', [normals([8], 'm', 5)], (a) => [tf.floor(a!), tf.ceil(a!), tf.round(a!), tf.sign(a!)]);
plain('integers', [integers([4], [7, -7, 5, 0])], (a) => [
  tf.mod(a!, tf.scalar(3, 'int32')),
  tf.floorDiv(a!, tf.scalar(3, 'int32')),
  tf.cast(a!, 'float32'),
  tf.oneHot(tf.abs(a!), 8),
]);
plain('made from shapes', [x_23], (a) => [
  tf.fill([2, 2], 0.25),
  tf.zerosLike(a!),
  tf.onesLike(a!),
  tf.range(0, 5, 2, 'int32'),
  tf.add(tf.linspace(0, 1, 3), tf.sum(a!)),
]);

/** The weighted sum of all results; no two elements have the same weight. */
function weighted(results: Tensor | Tensor[]): Tensor {
  const sums = [results].flat().map((result, i) => {
    const weights = Array.from({ length: result.size }, (_, j) => Math.cos(i + 1.7 * j));
    return tf.sum(tf.mul(result, tf.tensor(weights, result.shape)));
  });
  return tf.addN(sums);
}

/** Gradients of the weighted sum. */
const gradients =
  ({ body, by }: Case) =>
  (...inputs: Tensor[]): Tensor[] =>
    tf.grads((...chosen: Tensor[]) => {
      const all = [...inputs];
      for (const [i, index] of by.entries()) all[index] = chosen[i] as Tensor;
      return weighted(body(...all));
    })(by.map((index) => inputs[index] as Tensor));

async function assertSameResults(name: string, { body, inputs }: Case): Promise<void> {
  const expected = runEagerly(body, inputs);
  const actual = await runRecorded(runtime, name, body, inputs);
  assert.equal(actual.length, expected.length);
  for (const [i, result] of actual.entries()) {
    const { dtype, shape, data } = expected[i]!;
    assertNear({ ...result, dtype }, { dtype, shape, data }, 1e-5);
  }
}

describe('recorded and eager results are the same for', () => {
  for (const [name, one] of Object.entries(cases)) {
    test(name, async () => {
      await assertSameResults(name, one);
      if (one.by.length === 0) return;
      const slopes = runEagerly(gradients(one), one.inputs);
      const recorded = await runRecorded(runtime, `gradients of ${name}`, gradients(one), one.inputs);
      for (const [i, slope] of slopes.entries()) {
        assert.ok(
          slope.data.some((value) => Math.abs(Number(value)) > 1e-3),
          'the gradient is not trivial',
        );
        assertNear(recorded[i]!, slope, 1e-5);
      }
    });
  }

  test(`${TALL}, recorded as for AVX2`, async (t) => {
    setEnvironment(t, { ONEDNN_MAX_CPU_ISA: 'AVX2' });
    await assertSameResults(`${TALL}, AVX2`, cases[TALL]!);
  });
});

describe('the result equals that of plain loops for', () => {
  const numbers = (tensor: Tensor): number[] => [...onHost(tensor).data].map(Number);

  test('matMul, each way of transposing', () => {
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        const a = normals(transposeA ? [4, 2] : [2, 4], 'A');
        const b = normals(transposeB ? [3, 4] : [4, 3], 'B');
        const A = (i: number, k: number) => Number(a.data[transposeA ? k * 2 + i : i * 4 + k]);
        const B = (k: number, j: number) => Number(b.data[transposeB ? j * 4 + k : k * 3 + j]);
        const expected = [0, 1].flatMap((i) =>
          [0, 1, 2].map((j) => [0, 1, 2, 3].reduce((sum, k) => sum + A(i, k) * B(k, j), 0)),
        );
        const product = onHost(tf.matMul(eager(a), eager(b), transposeA, transposeB));
        assertNear(product, floats([2, 3], expected), 1e-6);
      }
    }
  });

  test('gather, along an axis and within batches', () => {
    const x = eager(normals([2, 3, 4], 'gather'));
    const at = (i: number, j: number, k: number) => numbers(x)[(i * 3 + j) * 4 + k]!;
    const along = tf.gather(x, tf.tensor1d([3, 0], 'int32'), 2);
    assert.deepEqual(along.shape, [2, 3, 2]);
    assert.deepEqual(
      numbers(along),
      [0, 1].flatMap((i) => [0, 1, 2].flatMap((j) => [at(i, j, 3), at(i, j, 0)])),
    );
    const batched = tf.gather(x, tf.tensor2d([[2], [1]], [2, 1], 'int32'), 1, 1);
    assert.deepEqual(batched.shape, [2, 1, 4]);
    assert.deepEqual(
      numbers(batched),
      [2, 1].flatMap((row, i) => [0, 1, 2, 3].map((k) => at(i, row, k))),
    );
  });

  test('sparseCrossEntropy', () => {
    const logits = normals([3, 5], 'logits', 3);
    const labels = [4, 0, 2];
    const expected = labels.map((label, i) => {
      const row = [...logits.data.slice(5 * i, 5 * i + 5)].map(Number);
      return Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0)) - row[label]!;
    });
    const loss = sparseCrossEntropy(eager(logits) as Tensor2D, tf.tensor1d(labels, 'int32'));
    assertNear(onHost(loss), floats([3], expected), 1e-6);
    // A label whose probability is 0 in float32.
    const far = sparseCrossEntropy(tf.tensor2d([[300, 0, -150]]), tf.tensor1d([2], 'int32'));
    assertNear(onHost(far), floats([1], [450]), 0);
  });

  test('upsample2x', () => {
    const x = normals([1, 2, 3, 2], 'upsample');
    const expected = Array.from({ length: 4 * 6 * 2 }, (_, i) => {
      const [row, column, channel] = [Math.floor(i / 12), Math.floor(i / 2) % 6, i % 2];
      return Number(x.data[(Math.floor(row / 2) * 3 + Math.floor(column / 2)) * 2 + channel]);
    });
    assertNear(onHost(upsample2x(eager(x) as Tensor4D)), floats([1, 4, 6, 2], expected), 0);
  });

  test('gelu, which is x Φ(x)', () => {
    const x = [-2, -1, 0, 0.5, 3];
    const phi = [0.02275013, 0.15865525, 0.5, 0.69146246, 0.9986501]; // from tables
    const expected = x.map((value, i) => value * phi[i]!);
    assertNear(onHost(gelu(tf.tensor1d(x))), floats([5], expected), 1e-6);
  });
});
