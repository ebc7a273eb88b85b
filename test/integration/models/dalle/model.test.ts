import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dalleModelSchema } from '../../../../src/config/dalle-model.ts';
import { type Tensor2D, tf } from '../../../../src/engine/tfjs/tf.ts';
import { padCaption, streamLength } from '../../../../src/models/dalle/config.ts';
import { dalleSpec, logits } from '../../../../src/models/dalle/model.ts';
import { countParameters, flatten } from '../../../../src/nn/parameters.ts';
import { EXIT, UserError } from '../../../../src/util/errors.ts';
import { largestDifference, numbers } from '../../../support/perturbed.ts';
import { slowLogits } from '../../../support/slow-dalle.ts';
import { config, image_BI, kinds, parameters, text_BT } from '../../../support/tiny-dalle-model.ts';

const whole = logits(parameters, text_BT, image_BI, config);

test('logits equal those of plain loops', () => {
  assert.deepEqual(whole.text_BTV.shape, [2, 4, 10]);
  assert.deepEqual(whole.image_BIV.shape, [2, 9, 7]);
  const [texts, images] = [text_BT.arraySync(), image_BI.arraySync()];
  const slow = texts.map((text, b) => slowLogits(parameters, text, images[b]!, config, kinds));
  const expectedText = slow.flatMap(({ text }) => text.flat());
  const expectedImage = slow.flatMap(({ image }) => image.flat());
  assert.ok(largestDifference(numbers(whole.text_BTV), expectedText) < 1e-4);
  assert.ok(largestDifference(numbers(whole.image_BIV), expectedImage) < 1e-4);
});

describe('causality', () => {
  /** Each logit's largest change, by what it predicts (text first), when input token `n` of the stream changes. */
  function changes(n: number): number[] {
    const replace = (tensor: Tensor2D, index: number): Tensor2D => {
      const rows = tensor.arraySync();
      for (const row of rows) row[index] = (row[index]! + 1) % 7;
      return tf.tensor2d(rows, tensor.shape, 'int32');
    };
    const changed =
      n < config.textLength
        ? logits(parameters, replace(text_BT, n), image_BI, config)
        : logits(parameters, text_BT, replace(image_BI, n - config.textLength), config);
    const perPosition = (key: 'text_BTV' | 'image_BIV') =>
      numbers(tf.max(tf.abs(tf.sub(changed[key], whole[key])), [0, 2]));
    return [...perPosition('text_BTV'), ...perPosition('image_BIV')];
  }

  for (let n = 0; n < streamLength(config); n++) {
    test(`token ${n} changes the logits after it and no others`, () => {
      const difference = changes(n);
      assert.deepEqual(
        difference.slice(0, n + 1),
        difference.slice(0, n + 1).map(() => 0),
      );
      if (n + 1 < difference.length) assert.ok(difference[n + 1]! > 1e-3, 'the next prediction');
    });
  }
});

test('the published model has 12 billion parameters', () => {
  const spec = dalleSpec(dalleModelSchema.parse({}));
  assert.equal((countParameters(spec) / 1e9).toFixed(1), '12.3');
});

test('weight decay applies to matrices, and residual projections start smaller with depth', () => {
  const spec = new Map(flatten(dalleSpec(config)));
  for (const [name, { decay }] of spec) {
    const matrix = name.endsWith('.weight');
    assert.equal(decay, matrix, name);
  }
  for (const name of ['attention.output', 'feed_forward.contract']) {
    const { init } = spec.get(`blocks.block_3.${name}.weight`)!;
    assert.deepEqual(init, { kind: 'normal', stddev: 0.02 / Math.sqrt(8) });
  }
});

describe('a padded caption', () => {
  test('has a separate padding token for each position, after the vocabulary', () => {
    assert.deepEqual([...padCaption([5, 6], config)], [5, 6, 11, 12]);
    assert.deepEqual([...padCaption([], config)], [9, 10, 11, 12]);
    assert.deepEqual([...padCaption([1, 2, 3, 4], config)], [1, 2, 3, 4]);
  });

  test('that does not fit is an error with both lengths', () => {
    const pad = () => padCaption([1, 2, 3, 4, 5], config);
    assert.throws(pad, (error: unknown) => {
      assert.ok(error instanceof UserError && error.exitCode === EXIT.data && error.fix);
      assert.equal(error.code, 'E_CAPTION_TOO_LONG');
      return /\b5\b.*\b4\b/.test(error.message);
    });
  });
});
