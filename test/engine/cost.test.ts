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

describe('memory at the worst moment', () => {
  test('a value is there from its node to its last use', () => {
    // 0 and 1 live together, then 2 beside 1, then 3 beside 2.
    const nodes = [
      node('MatMul', 100),
      node('MatMul', 10, 0),
      node('MatMul', 1000, 1),
      node('MatMul', 5, 2, 1),
    ];
    assert.equal(peakBytes(nodes, new Set()), 1015);
  });

  test('a view is its source, and an op of single numbers writes over an input that ends', () => {
    const nodes = [node('MatMul', 100), node('Reshape', 100, 0), node('Exp', 100, 1), node('MatMul', 7, 2)];
    assert.equal(peakBytes(nodes, new Set()), 107);
    assert.equal(peakBytes([...nodes, node('MatMul', 1, 0, 3)], new Set()), 207);
  });

  test('results are not counted, and neither is what is fed or read', () => {
    const nodes = [
      node('ReadVariableOp', 500),
      node('MatMul', 100, 0),
      node('MatMul', 20, 1),
      node('Identity', 20, 2),
    ];
    assert.equal(peakBytes(nodes, new Set([3])), 100);
  });
});

describe('operations of what is recorded', () => {
  const runtime = new Runtime();
  after(() => runtime.close());
  const float = (...shape: number[]) => ({ dtype: 'float32' as const, shape });

  test('products of matrices, and their gradients', () => {
    const f = runtime.compile('products', ({ a, b }: Record<'a' | 'b', Tensor>) => {
      const [da, db] = tf.grads((x, y) => tf.matMul(x!, y!, false, true))([a, b]);
      return { da: da!, db: db! };
    });
    const { nodes } = f.examine({ a: float(2, 3, 5, 7), b: float(2, 3, 11, 7) });
    const flops = nodes.reduce((sum, n) => sum + flopsOf(n), 0);
    assert.equal(flops, 3 * 2 * 6 * 5 * 7 * 11);
  });

  test('convolutions, and their gradients', () => {
    const f = runtime.compile('convolutions', ({ x, k }: Record<'x' | 'k', Tensor>) => {
      const [dx, dk] = tf.grads((a, b) => tf.conv2d(a as Tensor4D, b as Tensor4D, 1, 'same'))([x, k]);
      return { dx: dx!, dk: dk! };
    });
    const { nodes } = f.examine({ x: float(2, 8, 8, 3), k: float(3, 3, 3, 5) });
    const flops = nodes.reduce((sum, n) => sum + flopsOf(n), 0);
    assert.equal(flops, 3 * 2 * 2 * 64 * 9 * 3 * 5);
  });
});
