import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Tensor, type Tensor2D, tf } from '../../../../src/engine/tfjs/tf.ts';
import { padCaption } from '../../../../src/models/dalle/config.ts';
import { dalleLoss } from '../../../../src/models/dalle/loss.ts';
import type { DalleParameters } from '../../../../src/models/dalle/model.ts';
import { directionalDerivatives } from '../../../support/perturbed.ts';
import { slowCrossEntropy, slowLogits } from '../../../support/slow-dalle.ts';
import { config, image_BI, kinds, parameters as p, text_BT } from '../../../support/tiny-dalle-model.ts';

const value = (scalar: Tensor): number => scalar.dataSync()[0]!;
const END = config.textVocabulary;

test('the loss is the weighted sum of the text up to its first padding token and of the image', () => {
  const result = dalleLoss(p, text_BT, image_BI, config, { textWeight: 0.125 });
  const images = image_BI.arraySync();
  const slow = text_BT.arraySync().map((text, b) => slowLogits(p, text, images[b]!, config, kinds));
  // The captions of tiny-dalle-model.ts: two tokens and an end, four tokens and no room for an end.
  const targets = [
    [3, 8, END],
    [1, 2, 5, 0],
  ];
  const textTerms = targets.flatMap((labels, b) =>
    labels.map((label, t) => slowCrossEntropy(slow[b]!.text[t]!, label)),
  );
  const imageTerms = images.flatMap((codes, b) =>
    codes.map((code, i) => slowCrossEntropy(slow[b]!.image[i]!, code)),
  );
  const mean = (terms: number[]): number => terms.reduce((a, b) => a + b) / terms.length;
  assert.equal(textTerms.length, 7);
  assert.ok(Math.abs(value(result.textLoss) - mean(textTerms)) < 1e-4);
  assert.ok(Math.abs(value(result.imageLoss) - mean(imageTerms)) < 1e-4);
  assert.ok(Math.abs(value(result.loss) - (mean(textTerms) / 8 + (mean(imageTerms) * 7) / 8)) < 1e-4);
});

test('an empty caption has one text token, its end', () => {
  const empty = tf.tensor2d([...padCaption([], config)], [1, config.textLength], 'int32');
  const image = tf.slice(image_BI, [0, 0], [1, -1]);
  const { text } = slowLogits(p, empty.arraySync()[0]!, image.arraySync()[0]!, config, kinds);
  const { textLoss } = dalleLoss(p, empty, image as Tensor2D, config, { textWeight: 0.125 });
  assert.ok(Math.abs(value(textLoss) - slowCrossEntropy(text[0]!, END)) < 1e-4);
});

describe('the gradient equals finite differences', () => {
  const block = p.blocks.block_2!;
  const parts: [string, Tensor, (v: Tensor) => DalleParameters][] = [
    ['start', p.start, (start) => ({ ...p, start })],
    ['text_embedding', p.text_embedding, (text_embedding) => ({ ...p, text_embedding })],
    ['text_position', p.text_position, (text_position) => ({ ...p, text_position })],
    ['image_embedding', p.image_embedding, (image_embedding) => ({ ...p, image_embedding })],
    ['image_row', p.image_row, (image_row) => ({ ...p, image_row })],
    ['image_column', p.image_column, (image_column) => ({ ...p, image_column })],
    ['text_head.bias', p.text_head.bias, (bias) => ({ ...p, text_head: { ...p.text_head, bias } })],
    [
      'image_head.weight',
      p.image_head.weight,
      (weight) => ({ ...p, image_head: { ...p.image_head, weight } }),
    ],
    [
      'block_2.attention.qkv.weight',
      block.attention.qkv.weight,
      (weight) => ({
        ...p,
        blocks: {
          ...p.blocks,
          block_2: { ...block, attention: { ...block.attention, qkv: { ...block.attention.qkv, weight } } },
        },
      }),
    ],
  ];
  for (const [name, parameter, put] of parts) {
    test(name, () => {
      const loss = (v: Tensor): Tensor =>
        dalleLoss(put(v), text_BT, image_BI, config, { textWeight: 0.4 }).loss;
      const { analytic, numeric } = directionalDerivatives(loss, parameter, 3);
      assert.ok(Math.abs(analytic) > 1e-3, `the gradient is not trivial: ${analytic}`);
      assert.ok(
        Math.abs(analytic - numeric) < 0.02 * Math.abs(analytic) + 1e-3,
        `${analytic} against ${numeric}`,
      );
    });
  }
});
