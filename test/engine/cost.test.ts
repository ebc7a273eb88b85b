import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { flopsOf, type GraphNode, peakBytes } from '../../src/engine/graph/cost.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor4D, tf } from '../../src/engine/tfjs/tf.ts';

const node = (type: string, bytes: number, ...inputs: number[]): GraphNode => ({
  type,
  inputs,
  inputShapes: [],
  shape: [],
  bytes,
});

describe('peak memory', () => {
  test('a value takes memory from its node to its last use', () => {
    // 0 and 1 live together, then 2 beside 1, then 3 beside 2.
    const nodes = [
      node('MatMul', 100),
      node('MatMul', 10, 0),
      node('MatMul', 1000, 1),
      node('MatMul', 5, 2, 1),
    ];
    assert.equal(peakBytes(nodes, new Set()), 1015);
  });

  test('a view shares the memory of its source, and an elementwise op reuses an input after its last use', () => {
    const nodes = [node('MatMul', 100), node('Reshape', 100, 0), node('Exp', 100, 1), node('MatMul', 7, 2)];
    assert.equal(peakBytes(nodes, new Set()), 107);
    assert.equal(peakBytes([...nodes, node('MatMul', 1, 0, 3)], new Set()), 207);
  });

  test('results, inputs and variables are not counted', () => {
    const nodes = [
      node('ReadVariableOp', 500),
      node('MatMul', 100, 0),
      node('MatMul', 20, 1),
      node('Identity', 20, 2),
    ];
    assert.equal(peakBytes(nodes, new Set([3])), 100);
  });
});

describe('floating-point operations', () => {
  const runtime = new Runtime();
  after(() => runtime.close());
  const float = (...shape: number[]) => ({ dtype: 'float32' as const, shape });

  test('of matrix products and their gradients are counted', () => {
    const f = runtime.compile('products', ({ a, b }: Record<'a' | 'b', Tensor>) => {
      const [da, db] = tf.grads((x, y) => tf.matMul(x!, y!, false, true))([a, b]);
      return { da: da!, db: db! };
    });
    const { nodes } = f.examine({ a: float(2, 3, 5, 7), b: float(2, 3, 11, 7) });
    const flops = nodes.reduce((sum, n) => sum + flopsOf(n), 0);
    assert.equal(flops, 3 * 2 * 6 * 5 * 7 * 11);
  });

  test('of convolutions and their gradients are counted', () => {
    const f = runtime.compile('convolutions', ({ x, k }: Record<'x' | 'k', Tensor>) => {
      const [dx, dk] = tf.grads((a, b) => tf.conv2d(a as Tensor4D, b as Tensor4D, 1, 'same'))([x, k]);
      return { dx: dx!, dk: dk! };
    });
    const { nodes } = f.examine({ x: float(2, 8, 8, 3), k: float(3, 3, 3, 5) });
    const flops = nodes.reduce((sum, n) => sum + flopsOf(n), 0);
    assert.equal(flops, 3 * 2 * 2 * 64 * 9 * 3 * 5);
  });
});
