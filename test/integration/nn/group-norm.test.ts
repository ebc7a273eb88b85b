import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Tensor4D, tf } from '../../../src/engine/tfjs/tf.ts';
import { groupNorm } from '../../../src/nn/group-norm.ts';
import { layerNormSpec } from '../../../src/nn/layer-norm.ts';
import { RandomStream } from '../../../src/util/random.ts';
import { largestDifference, numbers, perturbed, randomTensor } from '../../support/perturbed.ts';

const [IMAGES, HEIGHT, WIDTH, CHANNELS] = [2, 3, 5, 6] as const;
const p = perturbed(layerNormSpec(CHANNELS), 1);
/** Large means and a small variance, so that the epsilon and the order of the sums matter. */
const x = tf.add(
  tf.mul(randomTensor([IMAGES, HEIGHT, WIDTH, CHANNELS], new RandomStream('group norm')), 0.01),
  3,
);

/** Each value by the mean and the variance of its image and group, one number at a time. */
function slowly(groups: number, epsilon: number): number[] {
  const values = numbers(x);
  const groupOf = (i: number): string => {
    const image = Math.floor(i / (HEIGHT * WIDTH * CHANNELS));
    return `${image} ${Math.floor((i % CHANNELS) / (CHANNELS / groups))}`;
  };
  return values.map((value, i) => {
    const own = values.filter((_, j) => groupOf(j) === groupOf(i));
    const mean = own.reduce((a, b) => a + b) / own.length;
    const variance = own.reduce((sum, each) => sum + (each - mean) ** 2, 0) / own.length;
    const scaled = (value - mean) / Math.sqrt(variance + epsilon);
    return scaled * numbers(p.gain)[i % CHANNELS]! + numbers(p.bias)[i % CHANNELS]!;
  });
}

test('group norm normalizes each image and group of channels, for any number of groups and epsilon', () => {
  for (const groups of [1, 2, 3, CHANNELS]) {
    for (const epsilon of [1e-6, 1e-3]) {
      const y = groupNorm(p, x as Tensor4D, groups, epsilon);
      assert.deepEqual(y.shape, x.shape);
      const difference = largestDifference(numbers(y), slowly(groups, epsilon));
      assert.ok(difference < 1e-3, `${groups} groups, epsilon ${epsilon}: ${difference}`);
    }
  }
  assert.ok(largestDifference(slowly(2, 1e-6), slowly(2, 1e-5)) > 1e-2);
  assert.ok(largestDifference(slowly(2, 1e-6), slowly(3, 1e-6)) > 1e-2);
});
