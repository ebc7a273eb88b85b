// Sampling against slow, plain versions: the whole model for every token, softmax and counting.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Tensor2D, tf } from '../../../../src/engine/tfjs/tf.ts';
import { filterLogits, topKCount } from '../../../../src/inference/sampler/logits-processor.ts';
import type { SampleRequest } from '../../../../src/inference/sampler/sampler.ts';
import type { SampleSettings } from '../../../../src/inference/sampler/sampling.ts';
import { sampleTokens } from '../../../../src/inference/sampler/sampling.ts';
import { imageLength } from '../../../../src/models/dalle/config.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import { bound, chiSquare, filtered } from '../../../support/distribution.ts';
import { CAPTIONS, config, mostLikely, PLAIN, SlowModel } from '../../../support/slow-sampler.ts';

const LENGTH = imageLength(config);
const model = new SlowModel();
after(() => model.close());

const sampler = (batch: number, settings: Partial<SampleSettings> = {}) => model.sampler(batch, settings);

const row = (tokens: Int32Array, index: number): number[] => [
  ...tokens.subarray(index * LENGTH, (index + 1) * LENGTH),
];

describe('greedy sampling gives the most likely tokens of the whole model', () => {
  test('with top-k 1', async () => {
    const tokens = await (await sampler(CAPTIONS.length, { topK: 1 })).sample(
      CAPTIONS.map((caption, seed) => ({ captionTokens: caption, seed })),
    );
    const expected = await Promise.all(CAPTIONS.map((caption) => model.greedy(caption)));
    assert.deepEqual(
      CAPTIONS.map((_, i) => row(tokens, i)),
      expected,
    );
    assert.ok(new Set(expected.map(String)).size > 1, 'the images do not depend on the captions');
  });

  test('with a temperature near 0', async () => {
    const [caption] = CAPTIONS;
    const tokens = await (await sampler(1, { temperature: 1e-4 })).sample([
      { captionTokens: caption, seed: 5 },
    ]);
    assert.deepEqual(row(tokens, 0), await model.greedy(caption));
  });

  for (const guidance of [0, 0.5, 3]) {
    test(`with guidance ${guidance}: empty caption + ${guidance} × (caption − empty caption)`, async () => {
      const tokens = await (await sampler(2, { topK: 1, guidance })).sample(
        CAPTIONS.slice(0, 2).map((caption, seed) => ({ captionTokens: caption, seed })),
      );
      for (const [i, caption] of CAPTIONS.slice(0, 2).entries()) {
        const expected = await model.greedy(caption, { away: [], guidance });
        assert.deepEqual(row(tokens, i), expected);
      }
    });
  }
});

describe('many samples have the distribution of the model', () => {
  const BATCH = 64;
  const SAMPLES = 1024;
  const [caption] = CAPTIONS;
  const count = (tokens: readonly number[]): number[] => {
    const counts = new Array<number>(config.imageVocabulary).fill(0);
    for (const token of tokens) counts[token]! += 1;
    return counts;
  };
  const check = (tokens: readonly number[], probabilities: readonly number[], what: string): void => {
    const { value, cells } = chiSquare(count(tokens), probabilities);
    if (cells > 1) assert.ok(value < bound(cells - 1), `${what}: chi-square ${value} of ${cells} tokens`);
  };

  for (const [what, settings] of [
    ['temperature 1', {}],
    ['temperature 0.7', { temperature: 0.7 }],
    ['top-k 3', { topK: 3 }],
    ['top-p 0.8', { topP: 0.8 }],
    ['temperature 1.5, top-k 6 and top-p 0.7', { temperature: 1.5, topK: 6, topP: 0.7 }],
  ] as const) {
    test(`with ${what}`, async () => {
      const { temperature, topK, topP } = { ...PLAIN, topK: undefined, topP: undefined, ...settings };
      const expected = async (sampled: readonly number[]): Promise<number[]> =>
        filtered(
          (await model.imageLogits(caption, sampled)).map((value) => value / temperature),
          topK,
          topP,
        );
      const batches = await sampler(BATCH, settings);
      const images: number[][] = [];
      for (let start = 0; start < SAMPLES; start += BATCH) {
        const requests = Array.from({ length: BATCH }, (_, i) => ({
          captionTokens: caption,
          seed: start + i,
        }));
        const tokens = await batches.sample(requests);
        for (let i = 0; i < BATCH; i++) images.push(row(tokens, i));
      }
      check(
        images.map(([first]) => first!),
        await expected([]),
        'the first token',
      );
      // The second and third token, given the most frequent beginning.
      for (const known of [1, 2]) {
        const beginnings = images.map((tokens) => tokens.slice(0, known).join());
        const counts = new Map<string, number>();
        for (const beginning of beginnings) counts.set(beginning, (counts.get(beginning) ?? 0) + 1);
        const [common] = [...counts].sort(([, a], [, b]) => b - a)[0]!;
        check(
          images.filter((_, i) => beginnings[i] === common).map((tokens) => tokens[known]!),
          await expected(common.split(',').map(Number)),
          `token ${known + 1} after ${common}`,
        );
      }
    });
  }
});

describe('a request has the same tokens', () => {
  const asked: SampleRequest = { captionTokens: CAPTIONS[1], seed: 11 };
  const others = (count: number): SampleRequest[] =>
    Array.from({ length: count }, (_, i) => ({
      captionTokens: CAPTIONS[i % CAPTIONS.length]!,
      seed: 100 + i,
    }));
  const settings = { temperature: 1.3, topK: 8 };
  let alone: number[];
  before(async () => {
    alone = row(await (await sampler(1, settings)).sample([asked]), 0);
  });

  test('in a batch of any size, at any index, next to any other requests', async () => {
    const four = await sampler(4, settings);
    assert.deepEqual(row(await four.sample([asked]), 0), alone, 'the batch is not full');
    assert.deepEqual(row(await four.sample([asked, ...others(3)]), 0), alone, 'first of four');
    assert.deepEqual(row(await four.sample([...others(3), asked]), 3), alone, 'last of four');
    const seven = await sampler(7, settings);
    assert.deepEqual(row(await seven.sample([...others(5), asked]), 5), alone, 'sixth of seven');
  });

  test('from a sampler that sampled other requests before', async () => {
    const two = await sampler(2, settings);
    await two.sample(others(2));
    assert.deepEqual(row(await two.sample([asked, ...others(1)]), 0), alone);
  });

  test('but other tokens with another seed or caption', async () => {
    const tokens = await (await sampler(3, settings)).sample([
      asked,
      { ...asked, seed: 12 },
      { ...asked, captionTokens: CAPTIONS[0] },
    ]);
    assert.deepEqual(row(tokens, 0), alone);
    assert.notDeepEqual(row(tokens, 1), alone);
    assert.notDeepEqual(row(tokens, 2), alone);
  });

  test('with guidance 1 as without, and with guidance 0 as for an empty caption', async () => {
    const empty = row(await (await sampler(1, settings)).sample([{ ...asked, captionTokens: [] }]), 0);
    // Close enough to 1 to change nothing, but computed from both captions.
    const one = await (await sampler(2, { ...settings, guidance: 1 + 2 ** -23 })).sample([asked]);
    assert.deepEqual(row(one, 0), alone);
    const zero = await (await sampler(2, { ...settings, guidance: 0 })).sample([asked]);
    assert.deepEqual(row(zero, 0), empty);
    assert.notDeepEqual(empty, alone);
  });
});

describe('sampling of a batch', () => {
  test('reports progress after each token, and stops when the signal is aborted', async () => {
    const reported: number[] = [];
    const controller = new AbortController();
    const sampling = (await sampler(1)).sample(
      [{ captionTokens: CAPTIONS[2], seed: 0 }],
      (tokens) => {
        reported.push(tokens);
        if (tokens === 4) controller.abort();
      },
      controller.signal,
    );
    await assert.rejects(sampling, { name: 'AbortError' });
    assert.deepEqual(reported, [1, 2, 3, 4]);
  });

  test('of more requests than the sampler has rows for is an error', async () => {
    const two = Array.from({ length: 2 }, (_, seed) => ({ captionTokens: CAPTIONS[2], seed }));
    await assert.rejects((await sampler(1)).sample(two), RangeError);
  });
});

describe('top-k and top-p', () => {
  const VOCABULARY = 9;
  const random = new RandomStream('filters');
  const rows = Array.from({ length: 5 }, () => Array.from({ length: VOCABULARY }, () => 2 * random.normal()));
  const filter = (values: readonly number[][], topK?: number, topP?: number): number[][] => {
    const result = filterLogits(tf.tensor2d(values as number[][]) as Tensor2D, topK, topP);
    return tf.softmax(result).arraySync() as number[][];
  };

  for (const topK of [undefined, 1, 2, 5, VOCABULARY]) {
    for (const topP of [undefined, 1e-6, 0.3, 0.8, 0.99]) {
      test(`keep the tokens of a plain version: top-k ${topK ?? 'none'}, top-p ${topP ?? 'none'}`, () => {
        const actual = filter(rows, topK, topP);
        for (const [r, values] of rows.entries()) {
          const expected = filtered(values, topK, topP);
          assert.deepEqual(
            actual[r]!.map((p) => p > 0),
            expected.map((p) => p > 0),
          );
          for (const [v, probability] of expected.entries())
            assert.ok(Math.abs(actual[r]![v]! - probability) < 1e-6);
        }
      });
    }
  }

  for (const [what, topK, topP] of [
    ['k above the vocabulary', VOCABULARY + 5, undefined],
    ['p 1', undefined, 1],
    ['k above the vocabulary and p 1', 1e6, 1],
  ] as const) {
    test(`${what} keep every token, the least likely too`, () => {
      const unlikely = rows.map((values) => values.with(3, -60));
      const kept = filterLogits(tf.tensor2d(unlikely) as Tensor2D, topK, topP);
      assert.deepEqual([...kept.dataSync()], [...Float32Array.from(unlikely.flat())]);
    });
  }

  test('with k above the vocabulary only p filters', () => {
    assert.deepEqual(filter(rows, 100, 0.5), filter(rows, undefined, 0.5));
  });

  test('keep all tokens of equal probability, and each is sampled', () => {
    const alike = [new Array<number>(VOCABULARY).fill(2)];
    for (const [topK, topP] of [
      [1, undefined],
      [undefined, 0.1],
      [3, 0.5],
    ] as const)
      for (const p of filter(alike, topK, topP)[0]!) assert.ok(Math.abs(p - 1 / VOCABULARY) < 1e-6);
    const many = tf.tile(tf.tensor2d(alike) as Tensor2D, [200, 1]) as Tensor2D;
    const keys = tf.tensor2d(
      Array.from({ length: 400 }, (_, i) => i),
      [200, 2],
      'int32',
    );
    const sampled = sampleTokens(many, keys, { temperature: 1, topK: 1 }).dataSync();
    assert.equal(new Set(sampled).size, VOCABULARY);
  });

  test('the lowest temperatures sample the most likely token, with any other settings', () => {
    const keys = tf.tensor2d(
      rows.flatMap((_, i) => [i, 5]),
      [rows.length, 2],
      'int32',
    );
    // Logits of an untrained or guided model may be this large.
    const large = rows.map((values) => values.map((value) => 1e4 * value));
    for (const temperature of [1e-3, 1e-20, 1e-38, Number.MIN_VALUE])
      for (const settings of [{}, { topK: 4 }, { topP: 0.9 }, { topK: 4, topP: 0.9 }]) {
        const sampled = sampleTokens(tf.tensor2d(large) as Tensor2D, keys, { temperature, ...settings });
        assert.deepEqual([...sampled.dataSync()], large.map(mostLikely));
      }
  });

  test('keep tokens that are as likely as the last one kept', () => {
    assert.deepEqual(
      filter([[1, 0, 0, -1]], 2)[0]!.map((p) => p > 0),
      [true, true, true, false],
    );
  });

  test('a k below 1 is the share to remove, as filter_thres of DALLE-pytorch', () => {
    assert.equal(topKCount(undefined, 512), undefined);
    assert.equal(topKCount(0.9, 512), 51);
    assert.equal(topKCount(0.999, 512), 1);
    assert.equal(topKCount(64, 512), 64);
    assert.equal(topKCount(1000, 512), 512);
  });
});
