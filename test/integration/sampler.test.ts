// Sampling against the slow, obvious versions: the whole model run again for every token, softmax and counting.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type DalleModelConfig, dalleModelSchema } from '../../src/config/dalle.ts';
import { Runtime } from '../../src/engine/runtime.ts';
import { type Tensor, type Tensor2D, tf } from '../../src/engine/tf.ts';
import { imageLength, padCaption } from '../../src/models/dalle/config.ts';
import { filterLogits, keptCodes } from '../../src/models/dalle/filter.ts';
import { dalleSpec, logits } from '../../src/models/dalle/model.ts';
import { type SampleRequest, Sampler, type SampleSettings } from '../../src/models/dalle/sample.ts';
import { flatten } from '../../src/nn/parameters.ts';
import { Weights } from '../../src/nn/weights.ts';
import { RandomStream } from '../../src/util/random.ts';
import { numbers, perturbed } from '../unit/nn/perturbed.ts';

const config: DalleModelConfig = dalleModelSchema.parse({
  textLength: 4,
  textVocabulary: 9,
  grid: 3,
  imageVocabulary: 11,
  width: 12,
  layers: 4,
  heads: 3,
  attention: ['row', 'column', 'full'],
  lastAttention: 'conv',
  convolution: 3,
});
const LENGTH = imageLength(config);
const parameters = perturbed(dalleSpec(config), 10);

const CAPTIONS = [[3, 8], [1, 2, 5, 0], [7], [6, 6, 6]] as const;
const PLAIN: SampleSettings = { temperature: 1, guidance: 1 };

const values = new Map(
  flatten(dalleSpec(config)).map(([name]) => {
    const tensor = name
      .split('.')
      .reduce<unknown>((tree, key) => (tree as Record<string, unknown>)[key], parameters) as Tensor;
    return [
      name,
      { dtype: 'float32', shape: tensor.shape, data: tensor.dataSync() as Float32Array },
    ] as const;
  }),
);

const runtimes: Runtime[] = [];
after(() => Promise.all(runtimes.map((runtime) => runtime.close())));

/** A sampler in a runtime of its own: each function makes the graph that the next one is optimized with larger. */
async function sampler(batch: number, settings: Partial<SampleSettings> = {}): Promise<Sampler> {
  const runtime = new Runtime();
  runtimes.push(runtime);
  const weights = new Weights(runtime, 'dalle', dalleSpec(config));
  await weights.load(values);
  return new Sampler(runtime, 'test', config, weights, batch, { ...PLAIN, ...settings });
}

const row = (tokens: Int32Array, index: number): number[] => [
  ...tokens.subarray(index * LENGTH, (index + 1) * LENGTH),
];

/** The logits of the token after `before`, from the whole model; what is not drawn yet does not matter. */
function slowLogits(caption: readonly number[], drawn: readonly number[]): number[] {
  const text = tf.tensor2d([...padCaption(caption, config)], [1, config.textLength], 'int32');
  const image = tf.tensor2d(
    Array.from({ length: LENGTH }, (_, i) => drawn[i] ?? 0),
    [1, LENGTH],
    'int32',
  );
  const { image_BIV } = logits(parameters, text, image, config);
  return numbers(tf.slice(image_BIV, [0, drawn.length, 0], [1, 1, -1]));
}

const likeliest = (values: readonly number[]): number => values.indexOf(Math.max(...values));

function softmax(values: readonly number[]): number[] {
  const exponentials = values.map((value) => Math.exp(value - Math.max(...values)));
  const total = exponentials.reduce((a, b) => a + b);
  return exponentials.map((e) => e / total);
}

/** The probabilities of the tokens kept, of all others 0. */
function filtered(values: readonly number[], topK?: number, topP?: number): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[b]! - values[a]!);
  let kept = order.slice(0, topK);
  if (topP !== undefined) {
    const probabilities = softmax(kept.map((i) => values[i]!));
    let mass = 0;
    kept = kept.filter((_, rank) => {
      const isNeeded = mass < topP;
      mass += probabilities[rank]!;
      return isNeeded;
    });
  }
  return softmax(values.map((value, i) => (kept.includes(i) ? value : Number.NEGATIVE_INFINITY)));
}

describe('the likeliest token each time is that of the whole model, run again for every token', () => {
  const greedy = (next: (drawn: readonly number[]) => number[]): number[] => {
    const drawn: number[] = [];
    while (drawn.length < LENGTH) drawn.push(likeliest(next(drawn)));
    return drawn;
  };

  test('by top-k 1', async () => {
    const tokens = await (await sampler(CAPTIONS.length, { topK: 1 })).sample(
      CAPTIONS.map((caption, seed) => ({ caption, seed })),
    );
    const expected = CAPTIONS.map((caption) => greedy((drawn) => slowLogits(caption, drawn)));
    assert.deepEqual(
      CAPTIONS.map((_, i) => row(tokens, i)),
      expected,
    );
    assert.ok(new Set(expected.map(String)).size > 1, 'the captions make no difference');
  });

  test('by a temperature near 0', async () => {
    const [caption] = CAPTIONS;
    const tokens = await (await sampler(1, { temperature: 1e-4 })).sample([{ caption, seed: 5 }]);
    assert.deepEqual(
      row(tokens, 0),
      greedy((drawn) => slowLogits(caption, drawn)),
    );
  });

  for (const guidance of [0, 0.5, 3]) {
    test(`with guidance ${guidance}: empty caption + ${guidance} × (caption − empty caption)`, async () => {
      const tokens = await (await sampler(2, { topK: 1, guidance })).sample(
        CAPTIONS.slice(0, 2).map((caption, seed) => ({ caption, seed })),
      );
      for (const [i, caption] of CAPTIONS.slice(0, 2).entries()) {
        const expected = greedy((drawn) => {
          const empty = slowLogits([], drawn);
          return slowLogits(caption, drawn).map((value, v) => empty[v]! + guidance * (value - empty[v]!));
        });
        assert.deepEqual(row(tokens, i), expected);
      }
    });
  }
});

/** Σ (observed − expected)² / expected over the tokens that can occur, and how many of them can. */
function chiSquare(
  counts: readonly number[],
  probabilities: readonly number[],
): { value: number; cells: number } {
  const total = counts.reduce((a, b) => a + b);
  let value = 0;
  let cells = 0;
  // Cells with few expected draws are taken together, or the statistic is not chi-square distributed.
  let rest = { observed: 0, expected: 0 };
  const add = (observed: number, expected: number): void => {
    value += (observed - expected) ** 2 / expected;
    cells += 1;
  };
  for (const [token, probability] of probabilities.entries()) {
    const expected = probability * total;
    if (probability === 0) assert.equal(counts[token], 0, `token ${token} cannot be drawn`);
    else if (expected >= 5) add(counts[token]!, expected);
    else rest = { observed: rest.observed + counts[token]!, expected: rest.expected + expected };
  }
  if (rest.expected > 0.5) add(rest.observed, rest.expected);
  return { value, cells };
}

/** The 99.9 % quantile of the chi-square distribution, by Wilson and Hilferty's approximation. */
const bound = (freedom: number): number =>
  freedom * (1 - 2 / (9 * freedom) + 3.09 * Math.sqrt(2 / (9 * freedom))) ** 3;

describe('many draws are distributed as the model says', () => {
  const BATCH = 64;
  const DRAWS = 1024;
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
    test(what, async () => {
      const { temperature, topK, topP } = { ...PLAIN, topK: undefined, topP: undefined, ...settings };
      const expected = (drawn: readonly number[]): number[] =>
        filtered(
          slowLogits(caption, drawn).map((value) => value / temperature),
          topK,
          topP,
        );
      const draw = await sampler(BATCH, settings);
      const pictures: number[][] = [];
      for (let start = 0; start < DRAWS; start += BATCH) {
        const requests = Array.from({ length: BATCH }, (_, i) => ({ caption, seed: start + i }));
        const tokens = await draw.sample(requests);
        for (let i = 0; i < BATCH; i++) pictures.push(row(tokens, i));
      }
      check(
        pictures.map(([first]) => first!),
        expected([]),
        'the first token',
      );
      // The second and third, given the likeliest beginning.
      for (const known of [1, 2]) {
        const beginnings = pictures.map((tokens) => tokens.slice(0, known).join());
        const counts = new Map<string, number>();
        for (const beginning of beginnings) counts.set(beginning, (counts.get(beginning) ?? 0) + 1);
        const [common] = [...counts].sort(([, a], [, b]) => b - a)[0]!;
        check(
          pictures.filter((_, i) => beginnings[i] === common).map((tokens) => tokens[known]!),
          expected(common.split(',').map(Number)),
          `token ${known + 1} after ${common}`,
        );
      }
    });
  }
});

describe('a request has the same tokens', () => {
  const asked: SampleRequest = { caption: CAPTIONS[1], seed: 11 };
  const others = (count: number): SampleRequest[] =>
    Array.from({ length: count }, (_, i) => ({ caption: CAPTIONS[i % CAPTIONS.length]!, seed: 100 + i }));
  const settings = { temperature: 1.3, topK: 8 };
  let alone: number[];
  before(async () => {
    alone = row(await (await sampler(1, settings)).sample([asked]), 0);
  });

  test('in a batch of any size, at any place in it, whatever else is asked for', async () => {
    const four = await sampler(4, settings);
    assert.deepEqual(row(await four.sample([asked]), 0), alone, 'the batch is not full');
    assert.deepEqual(row(await four.sample([asked, ...others(3)]), 0), alone, 'first of four');
    assert.deepEqual(row(await four.sample([...others(3), asked]), 3), alone, 'last of four');
    const seven = await sampler(7, settings);
    assert.deepEqual(row(await seven.sample([...others(5), asked]), 5), alone, 'sixth of seven');
  });

  test('from a sampler that drew something else before', async () => {
    const two = await sampler(2, settings);
    await two.sample(others(2));
    assert.deepEqual(row(await two.sample([asked, ...others(1)]), 0), alone);
  });

  test('and with another seed or caption others', async () => {
    const tokens = await (await sampler(3, settings)).sample([
      asked,
      { ...asked, seed: 12 },
      { ...asked, caption: CAPTIONS[0] },
    ]);
    assert.deepEqual(row(tokens, 0), alone);
    assert.notDeepEqual(row(tokens, 1), alone);
    assert.notDeepEqual(row(tokens, 2), alone);
  });

  test('with guidance 1 as without, and with guidance 0 as for an empty caption', async () => {
    const empty = row(await (await sampler(1, settings)).sample([{ ...asked, caption: [] }]), 0);
    // So near to 1 that it makes no difference, but drawn by way of both captions.
    const one = await (await sampler(2, { ...settings, guidance: 1 + 2 ** -23 })).sample([asked]);
    assert.deepEqual(row(one, 0), alone);
    const zero = await (await sampler(2, { ...settings, guidance: 0 })).sample([asked]);
    assert.deepEqual(row(zero, 0), empty);
    assert.notDeepEqual(empty, alone);
  });
});

describe('the drawing of a batch', () => {
  test('tells after each token how many there are, and stops when asked to', async () => {
    const told: number[] = [];
    const controller = new AbortController();
    const drawing = (await sampler(1)).sample(
      [{ caption: CAPTIONS[2], seed: 0 }],
      (tokens) => {
        told.push(tokens);
        if (tokens === 4) controller.abort();
      },
      controller.signal,
    );
    await assert.rejects(drawing, { name: 'AbortError' });
    assert.deepEqual(told, [1, 2, 3, 4]);
  });

  test('is refused for more requests than the sampler is for', async () => {
    const two = Array.from({ length: 2 }, (_, seed) => ({ caption: CAPTIONS[2], seed }));
    await assert.rejects((await sampler(1)).sample(two), RangeError);
  });
});

describe('filters', () => {
  const VOCABULARY = 9;
  const random = new RandomStream('filters');
  const rows = Array.from({ length: 5 }, () => Array.from({ length: VOCABULARY }, () => 2 * random.normal()));
  const filter = (values: readonly number[][], topK?: number, topP?: number): number[][] => {
    const result = filterLogits(
      tf.tensor2d(values as number[][]) as Tensor2D,
      topK === undefined ? undefined : tf.scalar(topK, 'int32'),
      topP === undefined ? undefined : tf.scalar(topP),
    );
    return tf.softmax(result).arraySync() as number[][];
  };

  for (const topK of [undefined, 1, 2, 5, VOCABULARY]) {
    for (const topP of [undefined, 1e-6, 0.3, 0.8, 0.99]) {
      test(`top-k ${topK ?? 'none'}, top-p ${topP ?? 'none'}`, () => {
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

  test('tokens as likely as the last one kept stay', () => {
    assert.deepEqual(
      filter([[1, 0, 0, -1]], 2)[0]!.map((p) => p > 0),
      [true, true, true, false],
    );
  });

  test('a share below 1 is left out, as DALLE-pytorch’s filter_thres', () => {
    assert.equal(keptCodes(undefined, 512), undefined);
    assert.equal(keptCodes(0.9, 512), 51);
    assert.equal(keptCodes(0.999, 512), 1);
    assert.equal(keptCodes(64, 512), 64);
    assert.equal(keptCodes(1000, 512), 512);
  });
});
