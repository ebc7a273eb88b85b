import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Tensor, type Tensor3D, type Tensor4D, tf } from '../../../src/engine/tfjs/tf.ts';
import { attention, attentionSpec, splitHeads } from '../../../src/nn/attention.ts';
import { attends } from '../../../src/nn/attention-kinds.ts';
import { attentionPattern } from '../../../src/nn/attention-pattern.ts';
import { blockSpec } from '../../../src/nn/block-spec.ts';
import { convolution, convolutionSpec } from '../../../src/nn/convolution.ts';
import { layerNorm, layerNormSpec } from '../../../src/nn/layer-norm.ts';
import { linear, linearSpec } from '../../../src/nn/linear.ts';
import { block } from '../../../src/nn/transformer.ts';
import { RandomStream } from '../../../src/util/random.ts';
import {
  directionalDerivatives,
  largestDifference,
  numbers,
  perturbed,
  randomTensor,
} from '../../support/perturbed.ts';

const random = new RandomStream('layers');
const near = (a: ArrayLike<number>, b: ArrayLike<number>, tolerance = 1e-5): void => {
  const difference = largestDifference(a, b);
  assert.ok(difference < tolerance, `differs by ${difference}`);
};

describe('linear', () => {
  const p = perturbed(linearSpec(3, 4, 0.02), 1);
  test('is x W + b over the last axis, for any rank', () => {
    const x = randomTensor([2, 5, 3], random);
    const y = linear(p, x);
    assert.deepEqual(y.shape, [2, 5, 4]);
    const [X, W, b] = [numbers(x), numbers(p.weight), numbers(p.bias)];
    const expected = Array.from({ length: 40 }, (_, i) => {
      const [row, out] = [Math.floor(i / 4), i % 4];
      return [0, 1, 2].reduce((sum, k) => sum + X[row * 3 + k]! * W[k * 4 + out]!, b[out]!);
    });
    near(numbers(y), expected);
  });
});

describe('convolution', () => {
  for (const size of [1, 3, 7]) {
    test(`${size} × ${size} is the sum over the kernel, with zeros outside of the image`, () => {
      const [height, width, inputs, outputs] = [5, 4, 3, 2];
      const p = perturbed(convolutionSpec(inputs, outputs, size), size);
      const x = randomTensor([2, height, width, inputs], random) as Tensor4D;
      const [X, W, bias] = [numbers(x), numbers(p.weight), numbers(p.bias)];
      const expected: number[] = [];
      for (let b = 0; b < 2; b++)
        for (let r = 0; r < height; r++)
          for (let c = 0; c < width; c++)
            for (let o = 0; o < outputs; o++) {
              let sum = bias[o]!;
              for (let i = 0; i < size; i++)
                for (let j = 0; j < size; j++) {
                  const [y, z] = [r + i - (size - 1) / 2, c + j - (size - 1) / 2];
                  if (y < 0 || z < 0 || y >= height || z >= width) continue;
                  for (let k = 0; k < inputs; k++)
                    sum +=
                      X[((b * height + y) * width + z) * inputs + k]! *
                      W[((i * size + j) * inputs + k) * outputs + o]!;
                }
              expected.push(sum);
            }
      const y = convolution(p, x);
      assert.deepEqual(y.shape, [2, height, width, outputs]);
      near(numbers(y), expected);
    });
  }
});

test('layer norm has mean 0 and variance 1 over the last axis before gain and bias', () => {
  const p = perturbed(layerNormSpec(6), 3);
  const x = tf.add(randomTensor([2, 3, 6], random, 2), 5);
  const [X, gain, bias] = [numbers(x), numbers(p.gain), numbers(p.bias)];
  const expected = X.map((value, i) => {
    const row = X.slice(i - (i % 6), i - (i % 6) + 6);
    const mean = row.reduce((a, b) => a + b) / 6;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / 6;
    return ((value - mean) / Math.sqrt(variance + 1e-5)) * gain[i % 6]! + bias[i % 6]!;
  });
  near(numbers(layerNorm(p, x)), expected);
});

const LAYOUT = { prefix: 3, grid: 3, kernelSize: 3 };
const LENGTH = 12;
const column = attentionPattern('column', LAYOUT, LENGTH);

describe('attention', () => {
  const [batch, width, heads] = [2, 8, 2];
  const p = perturbed(attentionSpec(width, width, 0.02, 0.02), 4);
  const x = randomTensor([batch, LENGTH, width], random) as Tensor3D;

  test('of each head is the weighted mean of the values that the mask allows', () => {
    const headWidth = width / heads;
    const qkv = numbers(linear(p.qkv, x));
    const part = (b: number, n: number, which: number, head: number, k: number): number =>
      qkv[(b * LENGTH + n) * 3 * width + which * width + head * headWidth + k]!;
    const merged = new Float32Array(batch * LENGTH * width);
    for (let b = 0; b < batch; b++)
      for (let query = 0; query < LENGTH; query++)
        for (let head = 0; head < heads; head++) {
          const keys = Array.from({ length: LENGTH }, (_, n) => n).filter((n) =>
            attends('column', query, n, LAYOUT),
          );
          const weights = keys.map((key) => {
            let score = 0;
            for (let k = 0; k < headWidth; k++)
              score += part(b, query, 0, head, k) * part(b, key, 1, head, k);
            return Math.exp(score / Math.sqrt(headWidth));
          });
          const total = weights.reduce((sum, w) => sum + w);
          keys.forEach((key, i) => {
            for (let k = 0; k < headWidth; k++)
              merged[(b * LENGTH + query) * width + head * headWidth + k]! +=
                (weights[i]! / total) * part(b, key, 2, head, k);
          });
        }
    const expected = linear(p.output, tf.tensor3d(merged, [batch, LENGTH, width]));
    const projected = linear(p.qkv, x);
    const { keys_BANd } = splitHeads(projected, { heads });
    const x_BND = attention(p.output, projected, { heads }, column);
    assert.deepEqual(keys_BANd.shape, [batch, heads, LENGTH, width / heads]);
    near(numbers(x_BND), numbers(expected));
  });
});

describe('resblock', () => {
  const p = perturbed(blockSpec({ width: 8, layers: 3, stddev: 0.02 }), 5);
  const readout = randomTensor([2, LENGTH, 8], random);
  const run = (parameters: typeof p, x: Tensor): Tensor =>
    tf.sum(tf.mul(block(parameters, x as Tensor3D, { heads: 2, pattern: column }).x_BND, readout));
  const x = randomTensor([2, LENGTH, 8], random);
  const parts: [string, Tensor, (value: Tensor) => typeof p][] = [
    [
      'attention_norm.gain',
      p.attention_norm.gain,
      (gain) => ({ ...p, attention_norm: { ...p.attention_norm, gain } }),
    ],
    [
      'attention.qkv.weight',
      p.attention.qkv.weight,
      (weight) => ({ ...p, attention: { ...p.attention, qkv: { ...p.attention.qkv, weight } } }),
    ],
    [
      'feed_forward_norm.bias',
      p.feed_forward_norm.bias,
      (bias) => ({ ...p, feed_forward_norm: { ...p.feed_forward_norm, bias } }),
    ],
    [
      'feed_forward.contract.weight',
      p.feed_forward.contract.weight,
      (weight) => ({
        ...p,
        feed_forward: { ...p.feed_forward, contract: { ...p.feed_forward.contract, weight } },
      }),
    ],
  ];
  const agrees = (f: (value: Tensor) => Tensor, value: Tensor): void => {
    const { analytic, numeric } = directionalDerivatives(f, value, 6);
    assert.ok(Math.abs(analytic) > 0.1, `the gradient is not trivial: ${analytic}`);
    assert.ok(
      Math.abs(analytic - numeric) < 0.01 * Math.abs(analytic) + 0.01,
      `${analytic} against ${numeric}`,
    );
  };
  for (const [name, value, put] of parts) {
    test(`has the gradient of finite differences for ${name}`, () => agrees((v) => run(put(v), x), value));
  }
  test('has the gradient of finite differences for the input', () => agrees((v) => run(p, v), x));
});
