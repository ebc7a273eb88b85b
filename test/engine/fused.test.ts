// Fused elementwise ops of large tensors: the values and gradients of single ops, one node for each chain in training
// alone, and one compilation for layers of the same shapes.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import type { CompileOptions } from '../../src/engine/session/compiled.ts';
import type { OpTime } from '../../src/engine/session/op-times.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor2D, tf } from '../../src/engine/tfjs/tf.ts';
import { sparseCrossEntropy } from '../../src/nn/functional/cross-entropy.ts';
import { gelu, geluTanh, quickGelu } from '../../src/nn/functional/gelu.ts';
import { affineLayerNorm } from '../../src/nn/functional/layer-norm.ts';
import { assertNear, difference, normals, runEagerly, runRecorded } from './compare.ts';

const runtime = new Runtime();
after(() => runtime.close());

/** Large enough to be fused. */
const SHAPE = [1024, 256];
const [x, y, dy] = ['x', 'y', 'dy'].map((key) => normals(SHAPE, `fused ${key}`)) as [
  HostTensor,
  HostTensor,
  HostTensor,
];
const [gain, bias] = ['gain', 'bias'].map((key) => normals([256], `fused ${key}`)) as [
  HostTensor,
  HostTensor,
];

const LABELS = Int32Array.from({ length: 1024 }, (_, row) => (row * 37) % 256);

type Function = (...inputs: Tensor[]) => Tensor;

/** The value and the gradients of every input, of dy · f. */
const withGradients =
  (f: Function) =>
  (...[weights, ...inputs]: Tensor[]): Tensor[] => {
    const { value, grads } = tf.valueAndGrads((...own: Tensor[]) => tf.sum(tf.mul(f(...own), weights!)))(
      inputs,
    );
    return [value, ...grads];
  };

const CASES: Record<string, { f: Function; inputs: readonly HostTensor[] }> = {
  gelu: { f: (a) => gelu(a!), inputs: [x] },
  'gelu by tanh': { f: (a) => geluTanh(a!), inputs: [x] },
  'quick gelu': { f: (a) => quickGelu(a!), inputs: [x] },
  'gated gelu': { f: (a, b) => gelu.gated(a!, b!), inputs: [x, y] },
  'cross entropy': {
    f: (a) => tf.expandDims(sparseCrossEntropy(a as Tensor2D, tf.tensor1d(LABELS, 'int32')), -1),
    inputs: [x],
  },
  'layer norm': { f: (a, b, c) => affineLayerNorm(a!, b!, c!, 1e-5), inputs: [x, gain, bias] },
};

for (const [name, { f, inputs }] of Object.entries(CASES)) {
  test(`${name}: fused as by single ops`, async () => {
    const fed = [dy, ...inputs];
    const expected = runEagerly(withGradients(f), fed);
    const actual = await runRecorded(runtime, name, withGradients(f), fed);
    for (const [i, own] of actual.entries()) assertNear(own, expected[i]!, i === 0 ? 1e-4 : 2e-6);
    const again = await runRecorded(runtime, `${name} again`, withGradients(f), fed);
    for (const [i, own] of again.entries()) assert.equal(difference(own, actual[i]!), 0);
  });
}

/** How often each type of op runs. */
async function opsOf(
  name: string,
  body: (a: Tensor) => Tensor[],
  options?: CompileOptions,
): Promise<Map<string, number>> {
  const call = ({ a }: { a: Tensor }) => Object.fromEntries(body(a).entries());
  const compiled = runtime.compile(name, call, options);
  const times: OpTime[] = [];
  await compiled({ a: x }, times);
  const counts = new Map<string, number>();
  for (const { type } of times) counts.set(type, (counts.get(type) ?? 0) + 1);
  return counts;
}

test('the gradient of a cross entropy is one op, without a scatter', async () => {
  const loss = (own: Tensor): Tensor =>
    tf.sum(sparseCrossEntropy(own as Tensor2D, tf.tensor1d(LABELS, 'int32')));
  const counts = await opsOf('cross entropy', (a) => [tf.grad(loss)(a)]);
  const gradient = 'cross_entropy_gradient_1024x1_1024x256_1024x1';
  assert.deepEqual([counts.get(gradient), counts.get('TensorScatterSub')], [1, undefined]);
});

const FORWARD = 'gelu_1024x256';
const BACKWARD = 'gelu_gradient_1024x256_1024x256';

test('training has one op for each direction of an activation, and layers share it', async () => {
  const counts = await opsOf('two layers', (a) => [tf.grad((own) => tf.sum(gelu(gelu(own))))(a)]);
  // The value of the second layer is not needed.
  assert.deepEqual([counts.get(FORWARD), counts.get(BACKWARD), counts.get('Erf')], [1, 2, undefined]);
});

test('a run in one thread, whose stack is too small for the compiler, has single ops', async () => {
  const slope = (a: Tensor): Tensor[] => [tf.grad((own) => tf.sum(gelu(own)))(a)];
  const counts = await opsOf('one thread', slope, { inOneThread: true });
  assert.deepEqual([counts.get(BACKWARD), counts.get('Erf')], [undefined, 1]);
});

test('without a gradient, ops stay single', async () => {
  const counts = await opsOf('inference', (a) => [gelu(a)]);
  assert.deepEqual([counts.get(FORWARD), counts.get('Erf')], [undefined, 1]);
});
