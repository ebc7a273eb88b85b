// Matrix products in row blocks.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { inRowBlocks } from '../../src/engine/tfjs/row-blocks.ts';
import { type Tensor, tf } from '../../src/engine/tfjs/tf.ts';
import { affineLayerNorm } from '../../src/nn/functional/layer-norm.ts';
import { RandomStream } from '../../src/util/random.ts';

const runtime = new Runtime();
after(() => runtime.close());

const random = new RandomStream('row blocks');
const matrix = (rows: number, columns: number): HostTensor => ({
  dtype: 'float32',
  shape: [rows, columns],
  data: Float32Array.from({ length: rows * columns }, () => random.normal()),
});
type Two = Record<'a' | 'b', Tensor>;

describe('a product in blocks of four rows', () => {
  const blocks = runtime.compile('blocks', ({ a, b }: Two) => ({
    ab: inRowBlocks(4, () => tf.matMul(a, b)),
  }));
  const turned = runtime.compile('turned', ({ a, b }: Two) => ({
    ab: inRowBlocks(4, () => tf.matMul(a, b, false, true)),
  }));

  for (const rows of [4, 6, 20]) {
    test(`equals the product, for ${rows} rows`, async () => {
      const [a, b] = [matrix(rows, 7), matrix(7, 5)];
      const { ab } = await blocks({ a, b });
      assert.deepEqual(ab.shape, [rows, 5]);
      const bTurned = Float32Array.from(
        { length: 35 },
        (_, i) => b.data[(i % 7) * 5 + Math.floor(i / 7)] as number,
      );
      const same = await turned({ a, b: { dtype: 'float32', shape: [5, 7], data: bTurned } });
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < 5; c++) {
          let sum = 0;
          for (let k = 0; k < 7; k++) sum += Number(a.data[r * 7 + k]) * Number(b.data[k * 5 + c]);
          assert.ok(Math.abs(Number(ab.data[r * 5 + c]) - sum) < 1e-5);
          assert.ok(Math.abs(Number(same.ab.data[r * 5 + c]) - sum) < 1e-5);
        }
    });
  }

  test('gives a row the same bits for any number of rows', async () => {
    const [a, b] = [matrix(8, 300), matrix(300, 50)];
    const first = async (rows: number) => {
      const { ab } = await blocks({
        a: { dtype: 'float32', shape: [rows, 300], data: (a.data as Float32Array).slice(0, rows * 300) },
        b,
      });
      return ab.data.slice(0, 50);
    };
    for (const rows of [1, 3, 4, 5, 8]) assert.deepEqual(await first(rows), await first(2));
  });
});

test('the layer norm inside row blocks is the same except for rounding', async () => {
  const norm = runtime.compile('norms', ({ x }: { x: Tensor }) => {
    const run = () => affineLayerNorm(x, tf.linspace(0.5, 2, 9), tf.linspace(-1, 1, 9), 1e-5);
    return { plain: run(), rowwise: inRowBlocks(4, run) };
  });
  const { plain, rowwise } = await norm({ x: matrix(12, 9) });
  for (const [i, value] of rowwise.data.entries())
    assert.ok(Math.abs(Number(value) - Number(plain.data[i])) < 1e-5);
});
