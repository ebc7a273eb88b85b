import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { HostTensor } from '../../../src/engine/native/tensor.ts';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { type Tensor, tf } from '../../../src/engine/tfjs/tf.ts';
import { constant, normal, type SpecTree, uniform } from '../../../src/nn/parameters.ts';
import { Weights } from '../../../src/nn/weights.ts';

const runtime = new Runtime();
after(() => runtime.close());

const SPEC = {
  table: normal([100, 50], 0.02),
  block: { kernel: uniform([60, 70], 0.5), bias: constant([3], 0.25) },
};

const numbers = (tensor: HostTensor | undefined): number[] => Array.from(tensor!.data, Number);
const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const deviation = (values: number[]): number => Math.sqrt(mean(values.map((value) => value ** 2)));

async function initialized<S extends SpecTree>(prefix: string, spec: S, seed: number) {
  const weights = new Weights(runtime, prefix, spec);
  await weights.initialize(seed);
  return weights.save();
}

describe('initialized weights', () => {
  test('have the distribution of their initializers', async () => {
    const saved = await initialized('initializers', SPEC, 1);
    assert.deepEqual([...saved.keys()], ['table', 'block.kernel', 'block.bias']);
    assert.deepEqual(
      [...saved.values()].map(({ shape }) => shape),
      [[100, 50], [60, 70], [3]],
    );
    const table = numbers(saved.get('table'));
    assert.ok(Math.abs(deviation(table) - 0.02) < 0.001, `deviation ${deviation(table)}`);
    assert.ok(Math.abs(mean(table)) < 0.002, `mean ${mean(table)}`);
    const kernel = numbers(saved.get('block.kernel'));
    assert.ok(kernel.every((value) => Math.abs(value) <= 0.5));
    assert.ok(Math.abs(deviation(kernel) - 0.5 / Math.sqrt(3)) < 0.01, `deviation ${deviation(kernel)}`);
    assert.ok(Math.abs(mean(kernel)) < 0.02, `mean ${mean(kernel)}`);
    assert.deepEqual(numbers(saved.get('block.bias')), [0.25, 0.25, 0.25]);
  });

  test('are the same for the same seed, in any order and next to any other parameters', async () => {
    const { table, block } = SPEC;
    const other = new Runtime();
    try {
      const weights = new Weights(other, 'same', { before: normal([9], 1), block, table });
      await weights.initialize(7);
      const saved = await weights.save();
      const expected = await initialized('same', SPEC, 7);
      for (const name of expected.keys()) assert.deepEqual(saved.get(name), expected.get(name), name);
    } finally {
      await other.close();
    }
  });

  test('differ between seeds, models and parameters', async () => {
    const spec = { a: normal([5000], 1), b: normal([5000], 1) };
    const sets = [await initialized('one', spec, 1), await initialized('two', spec, 1)];
    const again = new Weights(runtime, 'three', spec);
    for (const seed of [1, 2]) {
      await again.initialize(seed);
      sets.push(await again.save());
    }
    const all = sets.flatMap((saved) => [numbers(saved.get('a')), numbers(saved.get('b'))]);
    for (const [i, a] of all.entries()) {
      for (const b of all.slice(i + 1)) {
        const correlation = mean(a.map((value, k) => value * b[k]!));
        assert.ok(Math.abs(correlation) < 5 / Math.sqrt(5000), `correlated by ${correlation}`);
      }
    }
  });
});

describe('loaded weights', () => {
  const spec = { w: normal([2, 2], 1), nested: { b: constant([2], 0) } };
  const values = new Map<string, HostTensor>([
    ['nested.b', { dtype: 'float32', shape: [2], data: Float32Array.of(5, 6) }],
    ['w', { dtype: 'float32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }],
  ]);

  test('are saved as they were, and read in a function as a tree', async () => {
    const weights = new Weights(runtime, 'loaded', spec);
    await weights.load(values);
    assert.deepEqual(await weights.save(), new Map([...values].reverse()));
    const apply = runtime.compile('apply', ({ x }: { x: Tensor }) => {
      const p = weights.read();
      return { y: tf.add(tf.matMul(x as never, p.w as never), p.nested.b) };
    });
    const { y } = await apply({ x: { dtype: 'float32', shape: [1, 2], data: Float32Array.of(1, 10) } });
    assert.deepEqual(numbers(y), [36, 48]);
  });

  test('are an error when one is missing or of another shape', async () => {
    const weights = new Weights(runtime, 'refusing', spec);
    await weights.load(values);
    const without = new Map(values);
    without.delete('nested.b');
    await assert.rejects(weights.load(without), { name: 'RangeError', message: /nested\.b/ });
    const reshaped = new Map(values).set('w', { dtype: 'float32', shape: [4], data: new Float32Array(4) });
    await assert.rejects(weights.load(reshaped), { name: 'RangeError', message: /\bw\b.*\[2,2\].*\[4\]/ });
    assert.deepEqual(numbers((await weights.save()).get('w')), [1, 2, 3, 4]);
  });

  test('that come one by one are set in chunks, in any order', async () => {
    const each = async function* (entries: Iterable<[string, HostTensor]>) {
      for (const [name, tensor] of entries) yield [name, tensor] as const;
    };
    for (const chunk of [1, 2 ** 28]) {
      const weights = new Weights(runtime, `each ${chunk}`, spec);
      const other: HostTensor = { dtype: 'float32', shape: [1], data: Float32Array.of(1) };
      await weights.loadEach(each([['other', other], ...[...values].reverse()]), { chunkBytes: chunk });
      assert.deepEqual(await weights.save(), values);
      const [first, ...rest] = values;
      await assert.rejects(weights.loadEach(each(rest), { chunkBytes: chunk }), {
        name: 'RangeError',
        message: new RegExp(first![0]),
      });
    }
  });

  test('replace initialized ones', async () => {
    const weights = new Weights(runtime, 'replaced', spec);
    await weights.initialize(1);
    await weights.load(values);
    assert.deepEqual(numbers((await weights.save()).get('nested.b')), [5, 6]);
  });
});
