// Matrix products with frozen weights, which oneDNN packs once.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { Precision } from '../../src/engine/graph/precision.ts';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import { affine } from '../../src/engine/ops/linear-algebra.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import type { Tensor, Tensor2D } from '../../src/engine/tfjs/tf.ts';
import { RandomStream } from '../../src/util/random.ts';

const runtime = new Runtime();
after(() => runtime.close());

const random = new RandomStream('packed weights');
const normal = (...shape: number[]): HostTensor => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
});
type Inputs = Record<'weight' | 'bias', Tensor>;
let layers = 0;

/** A layer of random weights, frozen or not. */
async function layer(inputs: number, outputs: number) {
  const name = `layer ${layers++}`;
  const weight = runtime.variable(`${name} weight`, [inputs, outputs]);
  const bias = runtime.variable(`${name} bias`, [outputs]);
  const set = runtime.compile(`${name}: set`, (values: Inputs) => {
    weight.assign(values.weight);
    bias.assign(values.bias);
    return {};
  });
  await set({ weight: normal(inputs, outputs), bias: normal(outputs) });
  const product = (withBias: boolean, isFrozen: boolean, precision: Precision = 'float32') =>
    runtime.compile(
      name,
      ({ x }: { x: Tensor }) => ({
        y: affine(x as Tensor2D, weight.read(), withBias ? bias.read() : undefined),
      }),
      { frozen: isFrozen ? [weight, bias] : [], precision },
    );
  return { set, product };
}

const difference = (a: HostTensor, b: HostTensor): number =>
  Math.max(...Array.from(a.data as Float32Array, (value, i) => Math.abs(value - Number(b.data[i]))));

describe('x W + b', () => {
  for (const withBias of [true, false])
    test(`is the same with frozen W except for rounding, ${withBias ? 'with' : 'without'} b`, async () => {
      const x = normal(5, 300);
      const { product } = await layer(300, 70);
      const { y: frozen } = await product(withBias, true)({ x });
      const { y: plain } = await product(withBias, false)({ x });
      assert.ok(difference(frozen, plain) < 1e-4);
    });

  for (const precision of ['bfloat16', 'float16'] as const)
    test(`in ${precision}, on any processor`, async () => {
      const x = normal(5, 64);
      const { product } = await layer(64, 32);
      const { y: low } = await product(true, true, precision)({ x });
      const { y: full } = await product(true, false)({ x });
      const far = difference(low, full);
      assert.ok(far > 1e-5 && far < 0.3, `differs by ${far}`);
    });

  test('uses the frozen weights of the first run in all runs', async (t) => {
    const x = normal(3, 16);
    const { set, product } = await layer(16, 24);
    const run = product(false, true);
    const { y: first } = await run({ x });
    await set({ weight: normal(16, 24), bias: normal(24) });
    const { y: again } = await run({ x });
    const { y: fresh } = await product(false, false)({ x });
    if (difference(again, fresh) < 1e-4) t.skip('this TensorFlow does not keep packed weights');
    else assert.deepEqual(again.data, first.data);
  });

  test('uses the frozen vectors of the first run in all runs', async () => {
    const { set, product } = await layer(16, 24);
    const run = product(true, true);
    const x = { dtype: 'float32', shape: [1, 16], data: new Float32Array(16) } as const;
    const { y: first } = await run({ x });
    await set({ weight: normal(16, 24), bias: normal(24) });
    const { y: again } = await run({ x });
    assert.deepEqual(again.data, first.data);
    const { y: fresh } = await product(true, false)({ x });
    assert.ok(difference(again, fresh) > 0.1);
  });

  for (const [inputs, outputs] of [
    [256, 768],
    [1024, 256],
    [48, 144],
    [100, 1024],
    [512, 2048],
  ] as const)
    test(`has the same bits in a row for any number of rows, ${inputs} × ${outputs}`, async () => {
      const x = normal(33, inputs);
      const { product } = await layer(inputs, outputs);
      const run = product(true, true);
      const rows = async (count: number) => {
        const data = (x.data as Float32Array).slice(0, count * inputs);
        const { y } = await run({ x: { dtype: 'float32', shape: [count, inputs], data } });
        return y.data as Float32Array;
      };
      const all = await rows(33);
      for (const count of [1, 2, 3, 4, 6, 7, 8, 12, 16, 32])
        assert.deepEqual(await rows(count), all.slice(0, count * outputs));
    });
});
