// 20,000 samples of one position have the frequencies of the filtered softmax.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { imageLength } from '../../../../src/models/dalle/config.ts';
import { bound, chiSquare, filtered } from '../../../support/distribution.ts';
import { CAPTIONS, SlowModel } from '../../../support/slow-sampler.ts';

const BATCH = 100;
const SAMPLES = 20_000;
const VOCABULARY = 60;

const model = new SlowModel({ imageVocabulary: VOCABULARY });
after(() => model.close());

describe('20,000 samples of the last position of an image', () => {
  const caption = CAPTIONS[1];
  const start = Int32Array.from({ length: imageLength(model.config) - 1 }, (_, i) => (17 * i) % VOCABULARY);
  let logits: number[];
  before(async () => {
    logits = await model.imageLogits(caption, [...start]);
  });

  for (const [what, settings] of [
    ['temperature 1', {}],
    ['temperature 0.6', { temperature: 0.6 }],
    ['temperature 2', { temperature: 2 }],
    ['top-k 12', { topK: 12 }],
    ['top-p 0.85', { topP: 0.85 }],
    ['temperature 1.4, top-k 20 and top-p 0.9', { temperature: 1.4, topK: 20, topP: 0.9 }],
  ] as const) {
    // The seeds are fixed: 1 in 1000 choices of them would exceed the bound.
    test(`have a chi-square below its 99.9 % quantile with ${what}`, async () => {
      const { temperature, topK, topP } = { temperature: 1, topK: undefined, topP: undefined, ...settings };
      const sampler = await model.sampler(BATCH, settings);
      const counts = new Array<number>(VOCABULARY).fill(0);
      for (let first = 0; first < SAMPLES; first += BATCH) {
        const requests = Array.from({ length: BATCH }, (_, i) => ({
          captionTokens: caption,
          start,
          seed: first + i,
        }));
        const codes = await sampler.sample(requests);
        for (let r = 1; r <= BATCH; r++) counts[codes[r * (start.length + 1) - 1]!]! += 1;
      }
      const expected = filtered(
        logits.map((value) => value / temperature),
        topK,
        topP,
      );
      const { value, cells } = chiSquare(counts, expected);
      assert.ok(cells > 5, `only ${cells} tokens can be told apart`);
      assert.ok(value < bound(cells - 1), `chi-square ${value} of ${cells} tokens`);
    });
  }

  test('would exceed the quantile with a temperature that is a tenth higher', () => {
    const counts = filtered(logits).map((probability) => Math.round(SAMPLES * probability));
    const { value, cells } = chiSquare(counts, filtered(logits.map((value) => value / 1.1)));
    assert.ok(value > bound(cells - 1));
  });
});
