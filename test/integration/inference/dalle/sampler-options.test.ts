// Greedy sampling with a KV cache gives the most likely tokens of the whole model: with every attention kind and option
// of the model, primed, guided and away from a negative caption. The same for captions.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { ATTENTION_KINDS, type DalleModelConfig } from '../../../../src/config/dalle-model.ts';
import type { SampleRequest } from '../../../../src/inference/sampler/sampler.ts';
import { imageLength } from '../../../../src/models/dalle/config.ts';
import { CAPTIONS, config, mostLikely, SlowModel } from '../../../support/slow-sampler.ts';
import { MODEL_OPTIONS } from '../../../support/tiny-dalle-model.ts';

const LENGTH = imageLength(config);
const START = [
  [4, 9, 0, 7, 7, 1, 2, 10],
  [1, 1, 5, 3, 8, 0, 6, 2],
] as const;
const NEGATIVE = [2, 2, 4];

const OPTIONS: readonly Partial<DalleModelConfig>[] = [
  ...ATTENTION_KINDS.map((kind) => ({ layers: 2, attention: [kind], lastAttention: kind })),
  ...MODEL_OPTIONS,
];
const nameOf = (change: Partial<DalleModelConfig>): string =>
  change.attention ? `${change.attention} attention` : Object.keys(change).join(', ');

const models: SlowModel[] = [];
after(() => Promise.all(models.map((model) => model.close())));
function slowModel(change: Partial<DalleModelConfig> = {}, seed?: number): SlowModel {
  const model = new SlowModel(change, seed);
  models.push(model);
  return model;
}

const rows = (codes: Int32Array): number[][] =>
  Array.from({ length: codes.length / LENGTH }, (_, r) => [...codes.subarray(r * LENGTH, (r + 1) * LENGTH)]);

describe('images sampled with top-k 1 have the most likely tokens of the whole model', () => {
  for (const change of OPTIONS) {
    test(`primed, and away from a negative caption: ${nameOf(change)}`, async () => {
      const model = slowModel(change);
      const guidance = 2;
      const sampler = await model.sampler(2, { topK: 1, guidance });
      const starts = START.map((start) => start.slice(0, 2));
      const requests: SampleRequest[] = [
        { captionTokens: CAPTIONS[0], start: Int32Array.from(starts[0]!), seed: 1 },
        { captionTokens: CAPTIONS[1], start: Int32Array.from(starts[1]!), negative: NEGATIVE, seed: 2 },
      ];
      const expected = [
        await model.greedy(CAPTIONS[0], { start: starts[0]!, away: [], guidance }),
        await model.greedy(CAPTIONS[1], { start: starts[1]!, away: NEGATIVE, guidance }),
      ];
      assert.deepEqual(rows(await sampler.sample(requests)), expected);
    });
  }

  test('after any number of first tokens, with one sampler', async () => {
    const model = slowModel();
    const sampler = await model.sampler(2, { topK: 1 });
    for (const count of [LENGTH - 1, 0, 1, 3, 4]) {
      const starts = START.map((start) => start.slice(0, count));
      const reported: number[] = [];
      const codes = await sampler.sample(
        starts.map((start, r) => ({ captionTokens: CAPTIONS[r]!, start: Int32Array.from(start), seed: 0 })),
        (tokens, soFar) => {
          reported.push(tokens);
          assert.ok(soFar.every((code, i) => i % LENGTH < tokens || code === 0));
          assert.deepEqual(rows(soFar)[1]!.slice(0, count), starts[1]);
        },
      );
      assert.deepEqual(
        rows(codes),
        await Promise.all(starts.map((start, r) => model.greedy(CAPTIONS[r]!, { start }))),
      );
      assert.deepEqual(
        reported,
        Array.from({ length: LENGTH - count }, (_, i) => count + 1 + i),
      );
    }
  });

  test('for prompts that some requests share', async () => {
    const model = slowModel();
    const sampler = await model.sampler(4, { topK: 1, guidance: 3 });
    const asked = [CAPTIONS[1], CAPTIONS[0], CAPTIONS[1], []];
    const codes = await sampler.sample(asked.map((caption, seed) => ({ captionTokens: caption, seed })));
    assert.deepEqual(
      rows(codes),
      await Promise.all(asked.map((caption) => model.greedy(caption, { away: [], guidance: 3 }))),
    );
  });

  test('starts of different lengths, of a whole image or of unknown tokens are an error', async () => {
    const sampler = await slowModel().sampler(2);
    const ask = (...starts: number[][]) =>
      sampler.sample(starts.map((start) => ({ captionTokens: [1], start: Int32Array.from(start), seed: 0 })));
    await assert.rejects(ask([1], [1, 2]), { name: 'RangeError', message: /1 and 2/ });
    await assert.rejects(ask(new Array(LENGTH).fill(0)), { name: 'RangeError', message: /8 .*9/ });
    await assert.rejects(ask([11]), { name: 'RangeError', message: /11/ });
  });
});

describe('captions', () => {
  /** Continues with the most likely token until it is padding. */
  const slowly = async (model: SlowModel, beginning: readonly number[]): Promise<number[]> => {
    const tokens = [...beginning];
    while (tokens.length < model.config.textLength) {
      const token = mostLikely(await model.textLogits(tokens));
      if (token >= model.config.textVocabulary) break;
      tokens.push(token);
    }
    return tokens;
  };

  const ends = new Set<number>();
  for (const change of OPTIONS) {
    test(`completed with top-k 1 have the most likely tokens of the whole model: ${nameOf(change)}`, async () => {
      const model = slowModel({ ...change, textLength: 7, textVocabulary: 5 }, 12);
      const completer = await model.completer({ topK: 1 });
      for (const beginning of [[], [3], [1, 4], [0, 0, 2, 1], [1, 1, 1, 1, 1, 1, 1]]) {
        const completed = await completer.complete(beginning, 1);
        assert.deepEqual(completed, await slowly(model, beginning));
        assert.deepEqual(completed.slice(0, beginning.length), beginning);
        ends.add(completed.length - beginning.length);
      }
    });
  }

  test('between a start and an end token they are those of a model that reads both as text', async () => {
    const change = { textLength: 7, textVocabulary: 5 };
    const tokens = { start: 2, end: 1 };
    const completer = await slowModel({ ...change, captionTokens: tokens }, 12).completer({ topK: 1 });
    const plain = slowModel(change, 12);
    const isEnded = new Set<boolean>();
    for (const beginning of [[], [3], [4, 4], [0, 0, 4, 3], [3, 3, 3, 3, 3, 3]]) {
      const whole = (await slowly(plain, [tokens.start, ...beginning])).slice(1);
      const end = whole.indexOf(tokens.end, beginning.length);
      isEnded.add(end >= 0);
      assert.deepEqual(await completer.complete(beginning, 1), end < 0 ? whole : whole.slice(0, end));
    }
    assert.equal(isEnded.size, 2);
  });

  test('of these tests end after different lengths', () => assert.ok(ends.size > 3, `${[...ends]}`));

  test('are the same for the same seed, and differ between seeds', async () => {
    const completer = await slowModel({ textLength: 7 }, 12).completer();
    const complete = async (seed: number): Promise<string> => String(await completer.complete([1], seed));
    const first = await complete(3);
    const others = new Set<string>();
    for (let seed = 4; seed < 10; seed++) others.add(await complete(seed));
    assert.ok(others.size > 1);
    assert.equal(await complete(3), first);
  });

  test('end with AbortError when the signal is aborted', async () => {
    const completer = await slowModel().completer();
    await assert.rejects(completer.complete([1], 0, AbortSignal.abort()), { name: 'AbortError' });
  });
});
