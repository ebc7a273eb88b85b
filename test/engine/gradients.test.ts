// Gradients in a compiled function against finite differences: gradients written by hand, replaced kernels, and a small
// network of all of them.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import { gather } from '../../src/engine/ops/gather.ts';
import { affine } from '../../src/engine/ops/linear-algebra.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor1D, type Tensor2D, type Tensor4D, tf } from '../../src/engine/tfjs/tf.ts';
import { sparseCrossEntropy } from '../../src/nn/functional/cross-entropy.ts';
import { gelu, geluTanh, quickGelu } from '../../src/nn/functional/gelu.ts';
import { affineLayerNorm } from '../../src/nn/functional/layer-norm.ts';
import { upsample2x } from '../../src/nn/functional/upsample.ts';
import { floats, integers, normals, runRecorded } from './compare.ts';

const runtime = new Runtime();
after(() => runtime.close());

type Network = (...inputs: Tensor[]) => Tensor;

/** A scalar to which every element of `x` contributes with another weight. */
const weighted = (x: Tensor): Tensor =>
  tf.sum(
    tf.mul(
      x,
      tf.tensor(
        Array.from({ length: x.size }, (_, i) => Math.cos(1.7 * i)),
        x.shape,
      ),
    ),
  );

const moved = (x: HostTensor, direction: HostTensor, by: number): HostTensor =>
  floats(
    x.shape,
    Array.from(x.data, Number).map((value, i) => value + by * Number(direction.data[i])),
  );

const dot = (a: HostTensor, b: HostTensor): number =>
  Array.from(a.data, Number).reduce((sum, value, i) => sum + value * Number(b.data[i]), 0);

/** Compares the slope of `loss` along a random direction of each float input with finite differences. */
function check(name: string, inputs: readonly HostTensor[], loss: Network, step = 4e-3): void {
  const floating = inputs.flatMap(({ dtype }, i) => (dtype === 'float32' ? [i] : []));
  test(`${name} equals the finite difference`, async () => {
    const gradients = await runRecorded(
      runtime,
      `gradients of ${name}`,
      (...all) =>
        tf.grads((...chosen: Tensor[]) => loss(...all.map((x, i) => chosen[floating.indexOf(i)] ?? x)))(
          floating.map((i) => all[i]!),
        ),
      inputs,
    );
    for (const [k, index] of floating.entries()) {
      const x = inputs[index]!;
      const direction = normals(x.shape, `direction of ${name} ${index}`);
      const at = async (by: number): Promise<number> => {
        const there = inputs.map((input, i) => (i === index ? moved(x, direction, by) : input));
        return Number((await runRecorded(runtime, name, loss, there))[0]!.data[0]);
      };
      const near = (await at(step)) - (await at(-step));
      const far = (await at(2 * step)) - (await at(-2 * step));
      const numeric = (8 * near - far) / (12 * step);
      const analytic = dot(gradients[k]!, direction);
      assert.ok(Math.abs(numeric) > 0.02, `input ${index}: the slope ${numeric} is not trivial`);
      assert.ok(
        Math.abs(analytic - numeric) < 2e-3 * Math.max(1, Math.abs(numeric)),
        `input ${index}: ${analytic} against ${numeric}`,
      );
    }
  });
}

describe('the gradient of', () => {
  for (const [name, activation] of Object.entries({ gelu, geluTanh, quickGelu }))
    check(name, [normals([4, 7], name)], (x) => weighted(activation(x!)));
  check('gated gelu', [normals([4, 7], 'values'), normals([4, 7], 'gates')], (values, gates) =>
    weighted(gelu.gated(values!, gates!)),
  );

  check(
    'gather, rows taken twice',
    [normals([5, 3], 'table'), integers([2, 2], [4, 0, 4, 1])],
    (table, ids) => weighted(gather(table!, ids!)),
  );
  check('sparseCrossEntropy', [normals([4, 6], 'logits'), integers([4], [5, 0, 3, 3])], (logits, labels) =>
    weighted(sparseCrossEntropy(logits as Tensor2D, labels as Tensor1D)),
  );
  check(
    'conv2dTranspose',
    [normals([2, 2, 2, 3], 'small'), normals([4, 4, 2, 3], 'kernel of a transposed convolution', 0.3)],
    (x, kernel) => weighted(tf.conv2dTranspose(x as Tensor4D, kernel as Tensor4D, [2, 4, 4, 2], 2, 'same')),
  );
  check('upsample2x', [normals([2, 3, 3, 2], 'picture')], (x) => weighted(upsample2x(x as Tensor4D)));
  check(
    'layerNorm',
    [normals([3, 8], 'rows', 2), normals([8], 'gain'), normals([8], 'bias')],
    (x, gain, bias) => weighted(affineLayerNorm(x!, gain!, bias!, 1e-5)),
  );
  check('gelu', [normals([4, 5], 'gelu', 2)], (x) => weighted(gelu(x!)));
  check(
    'affine',
    [normals([4, 3], 'rows'), normals([3, 2], 'weight'), normals([2], 'bias')],
    (x, weight, bias) => weighted(tf.square(affine(x as Tensor2D, weight!, bias!))),
  );
  check('relu', [floats([6], [-2, -0.5, -0.1, 0.1, 0.4, 3])], (x) => weighted(tf.relu(x!)));
  for (const [transposeA, transposeB] of [
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ] as const) {
    check(
      `matMul ${transposeA} ${transposeB}`,
      [normals(transposeA ? [3, 2] : [2, 3], 'left'), normals(transposeB ? [4, 3] : [3, 4], 'right')],
      (a, b) => weighted(tf.matMul(a!, b!, transposeA, transposeB)),
    );
  }
});

describe('a network of convolution, pooling, attention and embeddings', () => {
  const network: Network = (image, kernel, table, gain, bias, ids, labels) => {
    const features = tf.maxPool(
      tf.relu(tf.conv2d(image as Tensor4D, kernel as Tensor4D, 1, 'same')) as Tensor4D,
      2,
      2,
      'same',
    );
    const tokens = tf.reshape(tf.avgPool(upsample2x(features), 2, 2, 'valid'), [2, 4, 4]);
    const stream = tf.concat([gather(table!, ids!), tokens], 1);
    const normal = affineLayerNorm(stream, gain!, bias!, 1e-5);
    const weights = tf.softmax(tf.mul(tf.matMul(normal, normal, false, true), 0.5));
    const mixed = tf.add(stream, gelu(tf.matMul(weights, normal)));
    const logits = tf.matMul(tf.reshape(mixed, [12, 4]), table!, false, true);
    return tf.mean(sparseCrossEntropy(logits as Tensor2D, labels as Tensor1D));
  };
  check(
    'by each of its parameters',
    [
      normals([2, 4, 4, 2], 'photo'),
      normals([3, 3, 2, 4], 'kernel', 0.3),
      normals([5, 4], 'embedding'),
      normals([4], 'g'),
      normals([4], 'b'),
      integers([2, 2], [1, 3, 0, 3]),
      integers([12], [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]),
    ],
    network,
    2e-3,
  );
});
