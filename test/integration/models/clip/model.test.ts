import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clipModelSchema } from '../../../../src/config/clip.ts';
import { type Tensor, type Tensor2D, type Tensor4D, tf } from '../../../../src/engine/tfjs/tf.ts';
import { clipLoss } from '../../../../src/models/clip/loss.ts';
import { type ClipParameters, clipSpec, encodeImage, encodeText } from '../../../../src/models/clip/model.ts';
import { textBatch, textTokens } from '../../../../src/models/clip/text.ts';
import { flatten, unflatten } from '../../../../src/nn/parameters.ts';
import { DataError } from '../../../../src/util/errors.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import { directionalDerivatives, numbers, perturbed, randomTensor } from '../../../support/perturbed.ts';

const text = { vocabulary: 12, length: 6, width: 8, layers: 1, heads: 2 };
const MODELS = {
  vit: { embedding: 5, image: { size: 8, patch: 4, width: 8, layers: 2, heads: 2 }, text },
  resnet: { embedding: 5, image: { tower: 'resnet', size: 32, width: 2, blocks: [1, 1, 1, 1] }, text },
  'dalle-pytorch': {
    architecture: 'dalle-pytorch',
    embedding: 5,
    image: { size: 8, patch: 4, width: 8, layers: 1, heads: 1, mean: [0, 0, 0], stddev: [1, 1, 1] },
    text: { ...text, heads: 1 },
  },
};
const BATCH = 3;
/** Where a ReLU turns within the step, both differ a little. */
const SLACK = 1e-2;
const tensorOf = ({ data, shape, dtype }: ReturnType<typeof textBatch>['text']): Tensor2D =>
  tf.tensor(data as Int32Array, [...shape] as [number, number], dtype as 'int32');

for (const [name, settings] of Object.entries(MODELS)) {
  describe(name, () => {
    const config = clipModelSchema.parse(settings);
    const drawn = perturbed(clipSpec(config), 1);
    const shapes = flatten(clipSpec(config));
    const find = (path: string): Tensor =>
      path.split('.').reduce((node: unknown, key) => (node as Record<string, unknown>)[key], drawn) as Tensor;
    const values = new Map(
      shapes.map(([path]) => [path, path.endsWith('variance') ? tf.abs(find(path)) : find(path)]),
    );
    const x = randomTensor(
      [BATCH, config.image.size, config.image.size, 3],
      new RandomStream('x'),
    ) as Tensor4D;
    const { text: ids, mask } = textBatch(
      [
        [10, 3, 11],
        [10, 1, 2, 5, 7, 11],
        [10, 9, 4, 11],
      ],
      config,
    );
    const loss = (p: ClipParameters): Tensor => {
      // By running statistics: the batch's own, of three images, bend too much for finite differences. Their gradient is
      // compared in batch-norm.test.ts.
      const images = encodeImage(p.image, x, config);
      const texts = encodeText(p.text, tensorOf(ids), tensorOf(mask), config);
      return clipLoss(images, texts, { scale: p.logit_scale }).loss;
    };
    const some = shapes
      .filter(([, { trained }]) => trained)
      .filter((_, i, all) => i % Math.ceil(all.length / 8) === 0);
    for (const [path] of [...some, ['logit_scale'] as const]) {
      test(`the gradient of ${path} is that of finite differences`, () => {
        const f = (value: Tensor): Tensor =>
          loss(unflatten(clipSpec(config), (other) => (other === path ? value : values.get(other)!)));
        const { analytic, numeric } = directionalDerivatives(f, values.get(path)!, 3, 2e-4);
        assert.ok(
          Math.abs(analytic - numeric) < 0.02 * Math.abs(analytic) + SLACK,
          `${analytic} against ${numeric}`,
        );
      });
    }

    test('features have length 1, and padding does not change a text', () => {
      const p = unflatten(clipSpec(config), (path) => values.get(path)!);
      const features = encodeText(p.text, tensorOf(ids), tensorOf(mask), config);
      for (const length of numbers(tf.norm(features, 'euclidean', 1))) assert.ok(Math.abs(length - 1) < 1e-5);
      const other = Int32Array.from(ids.data as Int32Array, (id, i) => (mask.data[i] ? id : 6));
      const again = encodeText(p.text, tensorOf({ ...ids, data: other }), tensorOf(mask), config);
      assert.deepEqual(numbers(again), numbers(features));
    });
  });
}

test('the loss is the mean of both cross entropies, counted one by one', () => {
  const random = new RandomStream('loss');
  const [images, texts] = [0, 1].map(() => randomTensor([4, 3], random)) as [Tensor2D, Tensor2D];
  const scale = 0.7;
  const [a, b] = [numbers(images), numbers(texts)];
  const logit = (i: number, j: number): number =>
    Math.exp(scale) * [0, 1, 2].reduce((sum, k) => sum + a[i * 3 + k]! * b[j * 3 + k]!, 0);
  const all = [0, 1, 2, 3];
  const entropy = (row: (i: number, j: number) => number): number =>
    all.reduce((sum, i) => sum + Math.log(all.reduce((s, j) => s + Math.exp(row(i, j)), 0)) - row(i, i), 0) /
    4;
  const expected = (entropy(logit) + entropy((i, j) => logit(j, i))) / 2;
  const { loss } = clipLoss(images, texts, { scale: tf.scalar(scale) });
  assert.ok(Math.abs(loss.dataSync()[0]! - expected) < 1e-5);
});

describe('texts', () => {
  const words = { vocabularySize: 10, encode: (from: string) => [...from].map(Number), toJSON: () => ({}) };
  const config = clipModelSchema.parse(MODELS.vit);
  test('start and end are the last two ids', () =>
    assert.deepEqual(textTokens('123', words, config), [10, 1, 2, 3, 11]));
  test('one that is too long is refused or cut, its end kept', () => {
    assert.throws(
      () => textTokens('12345', words, config),
      (error) => error instanceof DataError && /7 tokens, the model reads 6/.test(error.message),
    );
    assert.deepEqual(textTokens('12345', words, config, true), [10, 1, 2, 3, 4, 11]);
    assert.throws(() => textTokens('', words, config), /empty/);
  });
  test("DALLE-pytorch's have neither", () =>
    assert.deepEqual(textTokens('123', words, clipModelSchema.parse(MODELS['dalle-pytorch'])), [1, 2, 3]));
});
