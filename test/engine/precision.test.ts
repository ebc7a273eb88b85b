// What a compiled function's options change, and what they leave alone: the type of matrix products, and XLA.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { inFloat32 } from '../../src/engine/graph/precision.ts';
import { processorFlags } from '../../src/engine/native/processor.ts';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import { gather } from '../../src/engine/ops/gather.ts';
import { foldIn, randomNormal } from '../../src/engine/ops/random.ts';
import { sumOfRows } from '../../src/engine/ops/reductions.ts';
import type { CompileOptions } from '../../src/engine/session/compiled.ts';
import type { OpTime } from '../../src/engine/session/op-times.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor1D, type Tensor2D, type Tensor4D, tf } from '../../src/engine/tfjs/tf.ts';
import { sparseCrossEntropy } from '../../src/nn/functional/cross-entropy.ts';
import { gelu } from '../../src/nn/functional/gelu.ts';
import { affineLayerNorm } from '../../src/nn/functional/layer-norm.ts';
import { setEnvironment } from '../support/environment.ts';
import { difference, floats, integers, normals, runRecorded } from './compare.ts';

const runtime = new Runtime();
after(() => runtime.close());

const inputs = {
  image: normals([2, 6, 6, 3], 'picture'),
  kernel: normals([3, 3, 3, 8], 'kernel', 0.2),
  table: normals([7, 8], 'table'),
  gain: normals([8], 'gain'),
  ids: integers([2, 3], [6, 0, 3, 3, 2, 1]),
  labels: integers(
    [78],
    Array.from({ length: 78 }, (_, i) => i % 7),
  ),
};

/** A loss over convolution, attention and cross entropy, and its gradients. */
function model(...values: Tensor[]): Tensor[] {
  const [image, kernel, table, gain, ids, labels] = values as Tensor[];
  const loss = (x: Tensor, w: Tensor, rows: Tensor, g: Tensor): Tensor => {
    const features = tf.reshape(tf.relu(tf.conv2d(x as Tensor4D, w as Tensor4D, 1, 'same')), [2, 36, 8]);
    const stream = affineLayerNorm(tf.concat([gather(rows, ids!), features], 1), g, tf.zeros([8]), 1e-5);
    const attended = tf.matMul(tf.softmax(tf.matMul(stream, stream, false, true)), stream);
    const logits = tf.matMul(tf.reshape(gelu(tf.add(stream, attended)), [78, 8]), rows, false, true);
    return tf.mean(sparseCrossEntropy(logits as Tensor2D, labels as Tensor1D));
  };
  const { value, grads } = tf.valueAndGrads(loss)([image!, kernel!, table!, gain!]);
  return [value, ...grads];
}

const results = (name: string, options: CompileOptions): Promise<HostTensor[]> =>
  runRecorded(runtime, name, model, Object.values(inputs), options);

/** Types of the ops that run, such as MatMul. */
async function opTypes(
  body: (x: Tensor) => Record<string, Tensor>,
  options: CompileOptions,
): Promise<Set<string>> {
  const compiled = runtime.compile('timed', ({ x }: { x: Tensor }) => body(x), options);
  const x = normals([16, 16], 'timed');
  await compiled({ x }); // XLA compiles in this run
  const times: OpTime[] = [];
  await compiled({ x }, times);
  return new Set(times.map(({ type }) => type));
}

describe('lower precision', () => {
  // The step between numbers near 1.
  for (const [precision, step] of [
    ['bfloat16', 2 ** -7],
    ['float16', 2 ** -10],
  ] as const) {
    test(`${precision}: results and gradients are near those of float32, and not equal`, async () => {
      const expected = await results('in float32', {});
      const actual = await results(`in ${precision}`, { precision });
      for (const [i, result] of actual.entries()) {
        assert.equal(result.dtype, 'float32');
        const far = difference(result, expected[i]!);
        assert.ok(far < 6 * step, `result ${i} differs by ${far}`);
        assert.ok(far > step / 1000, `result ${i} differs by ${far}`);
      }
    });

    test(`${precision}: matrix products round their inputs, other ops do not`, async () => {
      const one = floats([1, 1], [1]);
      const fine = floats([1, 1], [1 + step / 4]);
      const body = (x: Tensor, y: Tensor): Tensor[] => [tf.matMul(x, y), tf.mul(x, y)];
      const [product, elementwise] = await runRecorded(runtime, 'rounding', body, [one, fine], { precision });
      assert.equal(product!.data[0], 1);
      assert.equal(elementwise!.data[0], 1 + step / 4);
    });

    test(`${precision}: sums of rows are those of float32`, async () => {
      const rows = normals([64, 256], 'rows');
      const sum = (x: Tensor): Tensor => sumOfRows(x);
      const [expected] = await runRecorded(runtime, 'sums', sum, [rows]);
      const [actual] = await runRecorded(runtime, `sums beside ${precision}`, sum, [rows], { precision });
      assert.equal(difference(actual!, expected!), 0);
    });

    test(`${precision}: a product inside inFloat32 and its gradients equal those of float32`, async () => {
      const fine = floats([1, 1], [1 + step / 4]);
      /** y = x·w and the gradients of y²; the second product is lowered. */
      const body = (x: Tensor, w: Tensor): Tensor[] => {
        const { value, grads } = tf.valueAndGrads((a: Tensor, b: Tensor) => {
          const y = inFloat32(() => tf.matMul(a as Tensor2D, b as Tensor2D));
          return tf.sum(tf.square(y));
        })([x, w]);
        return [value, ...grads, tf.matMul(x as Tensor2D, w as Tensor2D)];
      };
      const expected = await runRecorded(runtime, 'kept in float32', body, [fine, fine]);
      const actual = await runRecorded(runtime, `kept in ${precision}`, body, [fine, fine], { precision });
      for (const i of [0, 1, 2]) assert.equal(actual[i]!.data[0], expected[i]!.data[0], `result ${i}`);
      assert.notEqual(actual[3]!.data[0], expected[3]!.data[0]);
    });
  }

  test('is refused where oneDNN is held below the instructions that TensorFlow finds', async (t) => {
    if (!processorFlags().has('avx512bw')) return t.skip('the processor has none of them');
    setEnvironment(t, { ONEDNN_MAX_CPU_ISA: 'AVX2' });
    const square = ({ x }: { x: Tensor }) => ({ y: tf.matMul(x as Tensor2D, x as Tensor2D) });
    const call = runtime.compile('held', square, { precision: 'bfloat16' });
    await assert.rejects(call({ x: normals([4, 4], 'held') }), { code: 'E_PRECISION_UNSUPPORTED' });
  });

  test('an error inside inFloat32 ends its scope', async () => {
    assert.throws(() => inFloat32(() => assert.fail('inside')), /inside/);
    const fine = floats([1, 1], [1 + 2 ** -9]);
    const body = (x: Tensor): Tensor => tf.matMul(x as Tensor2D, x as Tensor2D);
    const [product] = await runRecorded(runtime, 'after', body, [fine], { precision: 'bfloat16' });
    assert.equal(product!.data[0], 1);
  });
});

describe('XLA', () => {
  const chain = (x: Tensor): Record<string, Tensor> => ({
    y: tf.tanh(tf.add(tf.matMul(x, tf.tanh(tf.matMul(x, x))), x)),
  });

  test('compiles the functions with the option, and only those', async () => {
    for (const xla of [false, true, false]) {
      const types = await opTypes(chain, { xla });
      assert.equal(types.has('_XlaRun'), xla, [...types].join());
      assert.equal(types.has('Tanh'), !xla, [...types].join());
    }
  });

  test('gives results and gradients near those without it', async () => {
    const expected = await results('without XLA', {});
    const actual = await results('with XLA', { xla: true });
    for (const [i, result] of actual.entries()) assert.ok(difference(result, expected[i]!) < 1e-5);
  });

  test('can be combined with bfloat16', async () => {
    const expected = await results('bfloat16 without XLA', { precision: 'bfloat16' });
    const actual = await results('bfloat16 with XLA', { precision: 'bfloat16', xla: true });
    for (const [i, result] of actual.entries()) {
      // Three products in a row, each rounded to 2^-8 at other points than without XLA; processors differ too.
      const away = difference(result, expected[i]!);
      assert.ok(away < 2 ** -5, `${i}: ${away}`);
    }
  });

  test('gives the same random numbers', async () => {
    const body = (key: Tensor): Tensor => randomNormal(foldIn(key as Tensor1D, 'noise'), [64]);
    const key = integers([2], [1, 2]);
    const [expected] = await runRecorded(runtime, 'noise', body, [key]);
    const [actual] = await runRecorded(runtime, 'noise by XLA', body, [key], { xla: true });
    assert.deepEqual([...actual!.data], [...expected!.data]);
  });

  test('updates variables after they are read', async () => {
    const variable = runtime.variable('by XLA', [16, 16]);
    const set = runtime.compile('set', ({ x }: { x: Tensor }) => {
      variable.assign(x);
      return {};
    });
    const step = runtime.compile(
      'step by XLA',
      ({ factor }: { factor: Tensor }) => {
        const before = variable.read();
        const update = variable.assign(tf.mul(before, factor));
        const later = variable.readAfter(update);
        variable.subtract(tf.fill([16, 16], 1));
        return { before: tf.sum(before), after: tf.sum(later) };
      },
      { xla: true },
    );
    await set({ x: floats([16, 16], new Array(256).fill(3)) });
    for (let run = 0, value = 3; run < 5; run++, value = 2 * value - 1) {
      const { before, after: later } = await step({ factor: floats([], [2]) });
      assert.deepEqual([before.data[0], later.data[0]], [256 * value, 512 * value]);
    }
  });
});
