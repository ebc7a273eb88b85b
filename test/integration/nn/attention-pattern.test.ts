// Attention in blocks against attention with the whole mask.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ATTENTION_KINDS, type AttentionKind } from '../../../src/config/dalle-model.ts';
import { type Tensor, type Tensor4D, tf } from '../../../src/engine/tfjs/tf.ts';
import type { StreamLayout } from '../../../src/nn/attention-kinds.ts';
import { attendStream, attentionPattern } from '../../../src/nn/attention-pattern.ts';
import { RandomStream } from '../../../src/util/random.ts';
import { attentionMask } from '../../support/attention-mask.ts';
import { largestDifference, numbers, randomTensor } from '../../support/perturbed.ts';

const [BATCH, HEADS, WIDTH] = [2, 2, 4];

/** Computes every score and masks those that do not count. */
function masked([queries, keys, values]: Tensor[], mask: Uint8Array): Tensor {
  const length = Math.sqrt(mask.length);
  const bias = tf.tensor2d(
    Float32Array.from(mask, (attends) => (attends ? 0 : -1e9)),
    [length, length],
  );
  const scores = tf.add(tf.matMul(queries!, keys!, false, true), bias);
  return tf.matMul(tf.softmax(scores), values!);
}

function compare(
  kind: AttentionKind,
  layout: StreamLayout,
  length: number,
  sharpness = 1,
  change?: number,
): number {
  const random = new RandomStream('attention', kind, length);
  const heads = [0, 1, 2].map(() => randomTensor([BATCH, HEADS, length, WIDTH], random));
  const readout = randomTensor([BATCH, HEADS, length, WIDTH], random);
  const mask = attentionMask(kind, layout, length);
  if (change !== undefined) mask[change] = 1 - mask[change]!;
  const pattern = attentionPattern(kind, layout, length);
  const inBlocks = (q: Tensor, k: Tensor, v: Tensor): Tensor => {
    const [queries_BANd, keys_BANd, values_BANd] = [tf.div(q, sharpness), k, v] as [
      Tensor4D,
      Tensor4D,
      Tensor4D,
    ];
    return attendStream({ queries_BANd, keys_BANd, values_BANd }, pattern, sharpness);
  };
  const results = (f: (q: Tensor, k: Tensor, v: Tensor) => Tensor): Tensor[] => [
    f(heads[0]!, heads[1]!, heads[2]!),
    ...tf.grads((q, k, v) => tf.sum(tf.mul(f(q!, k!, v!), readout)))(heads),
  ];
  const [ours, whole] = [results(inBlocks), results((...qkv) => masked(qkv, mask))];
  return Math.max(...ours.map((tensor, i) => largestDifference(numbers(tensor), numbers(whole[i]!))));
}

describe('attention in blocks has the values and gradients of attention with the whole mask', () => {
  const layouts: StreamLayout[] = [
    { prefix: 5, grid: 4, kernelSize: 3 },
    { prefix: 1, grid: 5, kernelSize: 11 },
    { prefix: 7, grid: 3, kernelSize: 5 },
  ];
  for (const kind of ATTENTION_KINDS) {
    for (const layout of layouts) {
      const { prefix, grid } = layout;
      // All inputs of training; a whole image; the prompt alone; the prompt and some tokens.
      const lengths = [prefix + grid ** 2 - 1, prefix + grid ** 2, prefix, prefix + 1, prefix + grid + 2];
      test(`${kind} of ${JSON.stringify(layout)}`, () => {
        for (const length of lengths) {
          const difference = compare(kind, layout, length);
          assert.ok(difference < 1e-5, `${length} positions differ by ${difference}`);
        }
      });
    }

    test(`${kind} with a sharpness`, () => {
      assert.ok(compare(kind, layouts[0]!, 20, 32 ** 2) < 1e-5);
    });

    test(`${kind} with one pair more or less differs`, () => {
      const length = 20;
      for (const [query, key] of [
        [19, 18],
        [15, 2],
        [12, 8],
        [4, 1],
      ] as const) {
        const difference = compare(kind, layouts[0]!, length, 1, query * length + key);
        assert.ok(difference > 1e-3, `pair ${query}, ${key}: ${difference}`);
      }
    });
  }
});

test('causal attention of several blocks of queries has them too, of two, three and four', () => {
  for (const length of [250, 440, 700]) {
    const difference = compare('full', { prefix: 83, grid: 25, kernelSize: 3 }, length);
    assert.ok(difference < 3e-5, `${length} positions differ by ${difference}`);
  }
});

test('the share of pairs in blocks shrinks as the image grows', () => {
  /** Number of scores computed for the image. */
  const scores = (kind: AttentionKind, grid: number): number => {
    const pattern = attentionPattern(kind, { prefix: 8, grid, kernelSize: 5 }, 8 + grid ** 2);
    const [, queries, keys] = pattern.image_UQK!.shape as [number, number, number];
    return (grid ** 2 / queries) * queries * (8 + keys);
  };
  for (const kind of ['row', 'column', 'conv', 'axial-row', 'conv-like'] as const) {
    assert.ok(scores(kind, 32) / 32 ** 4 < scores(kind, 16) / 16 ** 4 / 1.8, kind);
    assert.ok(scores(kind, 32) < 0.2 * 32 ** 4, kind);
  }
});
