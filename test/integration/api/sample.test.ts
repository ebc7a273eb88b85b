// `sample` as a program calls it, on tiny models in this process.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import type { SampleOptions } from '../../../src/api/options.ts';
import { readRecipe } from '../../../src/api/recipe.ts';
import { type SampledImage, sample } from '../../../src/api/sample.ts';
import { readCheckpoint } from '../../../src/checkpoint/read.ts';
import { RunCheckpoints } from '../../../src/checkpoint/run-checkpoints.ts';
import { decodeImage } from '../../../src/data/decode.ts';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { openPipeline } from '../../../src/inference/open-pipeline.ts';
import type { Generator } from '../../../src/inference/sampler/generator.ts';
import type { GenerateRequest } from '../../../src/inference/sampler/pipeline.ts';
import { encodePng } from '../../../src/report/images/png.ts';
import { DataError, UsageError } from '../../../src/util/errors.ts';
import { TINY, writeImage } from '../../support/tiny-dvae.ts';
import { dalleConfig, dalleSession, writeDalleData } from '../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-sample-api-'));
const dalle = join(root, 'dalle');
/** The same with other weights. They are large, so that captions matter. */
const other = join(root, 'other');
const photo = join(root, 'photo.png');
const GRID = 4;
const SETTINGS = { temperature: 0.7, topK: 12, topP: 0.9, guidance: 2 };

before(async () => {
  const data = await writeDalleData(root, 14);
  await writeImage(photo, 99);
  const brief = { steps: 3, samples: { count: 0 } };
  for (const [path, seed] of [
    [dalle, 0],
    [other, 1],
  ] as const) {
    const config = dalleConfig(data, seed, brief);
    await dalleSession({ ...config, model: { ...config.model, textLength: 24, initialStddev: 0.3 } })(path);
  }
});
after(() => rmSync(root, { recursive: true }));

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

const all = (options: SampleOptions): Promise<SampledImage[]> =>
  collect(sample({ dalle, count: 1, ...options }));

async function one(options: SampleOptions): Promise<SampledImage> {
  const [image, ...more] = await all(options);
  assert.deepEqual(more, []);
  return image!;
}

/** The pixels that the models themselves generate. */
async function generate(
  make: (generator: Generator) => Promise<Omit<GenerateRequest, 'prompt'>>,
): Promise<Uint8Array> {
  const runtime = new Runtime();
  try {
    const pipeline = await openPipeline(
      runtime,
      await readCheckpoint(dalle, { kind: 'dalle', warn: assert.fail }),
    );
    const request = { prompt: '', ...(await make(pipeline.generator)) };
    const images = await collect(pipeline.generate([request], SETTINGS, { batch: 1 }));
    return images[0]!.pixels;
  } finally {
    await runtime.close();
  }
}

describe('prime', () => {
  test('the first rows of image tokens are those of the image, and no more', async () => {
    const rows = 2;
    const primed = await one({
      prompts: ['picture 1'],
      seed: 3,
      ...SETTINGS,
      prime: { image: photo, rows },
    });
    const expected = await generate(async ({ codec, tokenizer }) => {
      const pixels = await decodeImage(photo, { size: TINY.imageSize, crop: 'center' });
      const start = (await codec.encode(pixels)).slice(0, rows * GRID);
      assert.equal(primed.metadata.prime, start.join(' '));
      return { captionTokens: tokenizer.encode('picture 1'), seed: 3, start };
    });
    assert.deepEqual(primed.pixels, expected);
    const fewer = await one({
      prompts: ['picture 1'],
      seed: 3,
      ...SETTINGS,
      prime: { image: photo, rows: 1 },
    });
    assert.notDeepEqual(fewer.pixels, primed.pixels);
    const contents = { image: readFileSync(photo), rows };
    const same = await one({ prompts: ['picture 1'], seed: 3, ...SETTINGS, prime: contents });
    assert.deepEqual(same.metadata, primed.metadata);
    assert.deepEqual(same.pixels, primed.pixels);
  });

  test('keeping every row, no row, or rows of a file that is no image is refused', async () => {
    const prime = (image: string, rows: number) => all({ prompts: ['a'], prime: { image, rows } });
    await assert.rejects(prime(photo, GRID), (error: UsageError) => {
      assert.ok(error instanceof UsageError);
      assert.deepEqual([error.code, error.option], ['E_PRIME_ROWS', 'prime.rows']);
      assert.match(error.message, /4.* 4 rows/);
      return true;
    });
    await assert.rejects(prime(photo, 0), { code: 'E_OPTION_VALUE', option: 'prime.rows' });
    const text = join(root, 'tokenizer.json');
    await assert.rejects(prime(text, 1), (error: DataError) => {
      assert.ok(error instanceof DataError);
      assert.deepEqual([error.code, error.option, error.where], ['E_PRIME_IMAGE', 'prime.image', text]);
      return true;
    });
    const contents = { image: readFileSync(text), rows: 1 };
    await assert.rejects(all({ prompts: ['a'], prime: contents }), {
      code: 'E_PRIME_IMAGE',
      option: 'prime.image',
      where: undefined,
    });
  });
});

describe('negative', () => {
  test('guidance steers away from the negative prompt', async () => {
    const asked = { prompts: ['picture 1'], seed: 3, ...SETTINGS };
    const away = await one({ ...asked, negative: 'Picture 7' });
    const expected = await generate(async ({ tokenizer }) => ({
      captionTokens: tokenizer.encode('picture 1'),
      negative: tokenizer.encode('picture 7'),
      seed: 3,
    }));
    assert.deepEqual(away.pixels, expected);
    assert.equal(away.metadata.negative, 'Picture 7');
    const plain = await one(asked);
    assert.notDeepEqual(away.pixels, plain.pixels);
    assert.deepEqual((await one({ ...asked, negative: ' ' })).metadata, plain.metadata);
  });

  test('a negative prompt without guidance is refused', async () => {
    for (const guidance of [undefined, 1, 0.5])
      await assert.rejects(all({ prompts: ['a'], negative: 'b', guidance }), (error: UsageError) => {
        assert.ok(error instanceof UsageError);
        assert.deepEqual([error.code, error.option], ['E_NEGATIVE_WITHOUT_GUIDANCE', 'negative']);
        assert.match(error.message, new RegExp(`received ${guidance ?? 1}$`));
        return true;
      });
  });
});

describe('complete', () => {
  test('the completed caption is the prompt, and its image says from which beginning', async () => {
    const told: [string, string][] = [];
    const asked = {
      seed: 3,
      count: 2,
      topK: 20,
      onCaption: (...pair: [string, string]) => void told.push(pair),
    };
    const images = await all({ ...asked, prompts: ['picture 2'], complete: ['Pict', ''] });
    const captions = told.map(([caption]) => caption);
    assert.deepEqual(
      told.map(([, beginning]) => beginning),
      ['Pict', ''],
    );
    assert.ok(captions[0]!.startsWith('pict') && captions[0]!.length > 4, captions[0]);
    assert.notEqual(captions[1], '');
    assert.deepEqual(
      images.map(({ prompt, completedFrom }) => [prompt, completedFrom]),
      [
        ['picture 2', undefined],
        [captions[0], 'Pict'],
        [captions[1], ''],
      ].flatMap((pair) => [pair, pair]),
    );
    const given = await all({ ...asked, prompts: captions, truncate: true });
    assert.deepEqual(
      given.map(({ pixels }) => pixels),
      images.slice(2).map(({ pixels }) => pixels),
    );
    assert.equal(images[2]!.metadata['completed-from'], 'Pict');
  });
});

describe('like', () => {
  const file = join(root, 'sampled.png');
  let sampled: SampledImage;
  before(async () => {
    sampled = await one({
      prompts: ['Image 12: étoile ★'],
      negative: 'picture 7',
      seed: 11,
      prime: { image: photo, rows: 1 },
      ...SETTINGS,
    });
    writeFileSync(file, await sampled.png());
  });

  test('the file alone gives the same image, equal in every pixel', async () => {
    const [again, ...more] = await collect(sample({ like: file }));
    assert.deepEqual(more, []);
    assert.deepEqual(again!.pixels, sampled.pixels);
    assert.deepEqual(again!.metadata, sampled.metadata);
    assert.deepEqual(Buffer.from(await again!.png()), readFileSync(file));
    assert.deepEqual(await sharp(file).raw().toBuffer(), Buffer.from(sampled.pixels));
  });

  test('options override the recipe of the file, and nothing else changes', async () => {
    const all = await collect(sample({ like: file, count: 2, seed: 10, temperature: 0.9 }));
    assert.deepEqual(
      all.map(({ seed }) => seed),
      [10, 11],
    );
    const { settings, seed: _, ...metadata } = all[1]!.metadata;
    const { settings: before, seed: __, ...kept } = sampled.metadata;
    assert.deepEqual(metadata, kept);
    assert.deepEqual(JSON.parse(settings!), { ...JSON.parse(before!), temperature: 0.9 });
    const [prompted] = await collect(sample({ like: file, prompts: ['picture 1'], negative: '' }));
    assert.equal(prompted!.prompt, 'picture 1');
    assert.equal(prompted!.seed, 11);
    assert.ok(!('negative' in prompted!.metadata));
  });

  test('another model is refused with both hashes', async () => {
    await assert.rejects(collect(sample({ like: file, dalle: other })), (error: DataError) => {
      assert.ok(error instanceof DataError);
      assert.equal(error.code, 'E_MODEL_DIFFERS');
      const [first, second] = error.message.match(/[0-9a-f]{64}/g) ?? [];
      assert.equal(first, sampled.metadata.model);
      assert.match(second!, /./);
      assert.notEqual(first, second);
      return true;
    });
  });

  test('a file without a recipe, or with a damaged one, is refused', async () => {
    await assert.rejects(collect(sample({ like: photo })), { code: 'E_RECIPE_MISSING', where: photo });
    const { prompt, seed, settings, model } = sampled.metadata;
    const damages: Record<string, string>[] = [
      { prompt: prompt!, seed: '-1', settings: settings!, model: model! },
      { prompt: prompt!, seed: seed!, settings: '{"temperature":', model: model! },
      { prompt: prompt!, seed: seed!, settings: '{"temperature":"warm","guidance":1}', model: model! },
      { ...sampled.metadata, prime: '1 2 x' },
      { ...sampled.metadata, model: 'short' },
    ] as Record<string, string>[];
    for (const metadata of damages) {
      const path = join(root, 'damaged.png');
      writeFileSync(path, await encodePng(new Uint8Array(12), 2, 2, { metadata }));
      await assert.rejects(readRecipe(path), (error: DataError) => {
        assert.ok(error instanceof DataError);
        assert.deepEqual([error.code, error.where], ['E_RECIPE_DAMAGED', path]);
        return true;
      });
    }
  });
});

describe('a program', () => {
  test('damage that comes out while the prompt is processed makes no image: the checkpoint before does', async () => {
    const run = join(root, 'damaged');
    const step = (number: number): string => join(run, 'checkpoints', `step-${number}`);
    const whole = new RunCheckpoints(dalle).path(3);
    for (const number of [1, 2]) cpSync(whole, step(number), { recursive: true });
    const file = join(step(2), 'ema.safetensors');
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.with(bytes.length - 1, (bytes.at(-1) as number) ^ 64));
    const warnings: string[] = [];
    const options = { prompts: ['a red circle'], ...SETTINGS };
    const image = await one({ ...options, dalle: run, onWarning: (message) => void warnings.push(message) });
    assert.equal(image.metadata.checkpoint, step(1));
    assert.deepEqual(image.pixels, (await one({ ...options, dalle: whole })).pixels);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] as string, /step-2.ema\.safetensors/);
  });

  test('several images of a prompt without any chance are equal, and a warning says so', async () => {
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    const images = await all({ prompts: ['picture 1'], count: 2, topK: 1, onWarning });
    assert.deepEqual(images[0]!.pixels, images[1]!.pixels);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /top-k 1 .*2 images/);
    await all({ prompts: ['picture 1'], count: 1, topK: 1, onWarning });
    await all({ prompts: ['picture 1'], count: 2, topK: 2, onWarning });
    assert.equal(warnings.length, 1);
  });

  test('a program gets progress, and may abort at any time and sample again', async () => {
    const progress: [number, number][] = [];
    const controller = new AbortController();
    const sampling = sample({
      dalle,
      prompts: ['picture 1'],
      count: 5,
      batchSize: 2,
      signal: controller.signal,
      onProgress: (...pair) => void progress.push(pair),
    });
    const finished: SampledImage[] = [];
    await assert.rejects(
      async () => {
        for await (const image of sampling) {
          finished.push(image);
          if (finished.length === 2) controller.abort();
        }
      },
      { name: 'AbortError' },
    );
    assert.equal(finished.length, 2);
    const total = 5 * GRID ** 2;
    assert.deepEqual(progress[0], [0, total]);
    assert.deepEqual(progress.at(-1), [2 * GRID ** 2, total]);

    for await (const image of sample({ dalle, prompts: ['picture 1'], count: 5 })) {
      assert.deepEqual(image.pixels, finished[0]!.pixels);
      break;
    }
  });

  test('an error names its code and the key of the option, and no flag', async () => {
    for (const [options, code, option] of [
      [{ prompts: [] }, 'E_PROMPT_MISSING', 'prompts'],
      [{ prompts: ['a'], dalle: undefined }, 'E_MODEL_MISSING', 'dalle'],
      [{ prompts: ['a'], topK: 0 }, 'E_OPTION_VALUE', 'topK'],
      [{ prompts: ['a'], batchSize: 1.5 }, 'E_OPTION_VALUE', 'batchSize'],
      [{ prompts: ['a'], count: undefined, bestOf: 4 }, 'E_CLIP_MISSING', 'bestOf'],
      [{ prompts: ['a'], keep: 2 }, 'E_OPTION_CONFLICT', 'keep'],
    ] as [SampleOptions, string, string][])
      await assert.rejects(all(options), (error: UsageError) => {
        assert.ok(error instanceof UsageError);
        assert.deepEqual([error.code, error.option], [code, option]);
        assert.doesNotMatch(`${error.message} ${error.fix}`, /--\w/);
        return true;
      });
  });
});
