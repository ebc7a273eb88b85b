import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bestOf, type ScoredImage } from '../../../src/api/best-of.ts';
import type { GeneratedImage } from '../../../src/inference/sampler/pipeline.ts';
import { DataError } from '../../../src/util/errors.ts';
import { clipConfig } from '../../support/tiny-runs.ts';

const SIZE = 16;
const LENGTH = SIZE ** 2 * 3;
const { model: config } = clipConfig({ path: 'nowhere', tokenizer: 'none' });

/** Grey images, as a pipeline generates them: the pixels of a batch are views of one array. */
async function* generated(prompts: Readonly<Record<string, readonly number[]>>, batch: number) {
  const all = Object.entries(prompts).flatMap(([prompt, greys]) =>
    greys.map((grey, seed) => ({ prompt, seed, grey })),
  );
  for (let start = 0; start < all.length; start += batch) {
    const group = all.slice(start, start + batch);
    const pixels = new Uint8Array(group.length * LENGTH);
    for (const [i, { prompt, seed, grey }] of group.entries()) {
      const own = pixels.subarray(i * LENGTH, (i + 1) * LENGTH).fill(grey);
      yield { prompt, seed, size: SIZE, pixels: own } satisfies GeneratedImage;
    }
  }
}

/** The best images of `prompts`; an image's score is `score` of its grey. */
async function pick(
  prompts: Readonly<Record<string, readonly number[]>>,
  kept: number,
  batch: number,
  score = (grey: number): number => grey,
): Promise<{ found: ScoredImage[]; calls: [prompt: string, images: number][] }> {
  const calls: [string, number][] = [];
  const clip = {
    config,
    checkText: () => {},
    score: async (prompt: string, pixels: Uint8Array) => {
      const count = pixels.length / LENGTH;
      calls.push([prompt, count]);
      return Array.from({ length: count }, (_, i) => score(pixels[i * LENGTH] as number));
    },
  };
  const [{ length }] = Object.values(prompts) as [readonly number[]];
  const found: ScoredImage[] = [];
  const options = { clip, candidates: length, kept, batch, truncate: false };
  for await (const image of bestOf(generated(prompts, batch), options)) found.push(image);
  return { found, calls };
}

describe('bestOf', () => {
  const prompts = { a: [10, 50, 30, 50, 20], b: [7, 7, 90, 1, 8] };

  for (const batch of [1, 2, 3, 5, 8, 10]) {
    test(`the images are the same in batches of ${batch}; each is scored once, with its prompt, a batch at most at a time`, async () => {
      const { found, calls } = await pick(prompts, 3, batch);
      assert.deepEqual(
        found.map(({ prompt, seed, score }) => [prompt, seed, score]),
        [
          ['a', 1, 50],
          ['a', 3, 50],
          ['a', 2, 30],
          ['b', 2, 90],
          ['b', 4, 8],
          ['b', 0, 7],
        ],
      );
      for (const { pixels, score } of found) assert.deepEqual(pixels, new Uint8Array(LENGTH).fill(score));
      assert.ok(calls.every(([, images]) => images <= batch));
      for (const prompt of ['a', 'b'])
        assert.equal(
          calls.filter(([own]) => own === prompt).reduce((sum, [, images]) => sum + images, 0),
          5,
        );
    });
  }

  test('images hold copies of their pixels, not views of the batch', async () => {
    const { found } = await pick(prompts, 3, 8);
    for (const { pixels } of found) assert.equal(pixels.buffer.byteLength, LENGTH);
  });

  test('a score that is not finite is refused', async () => {
    await assert.rejects(
      pick(prompts, 1, 4, () => Number.NaN),
      (error: unknown) => error instanceof DataError && error.code === 'E_SCORE_NOT_FINITE',
    );
  });
});
