// `sample` as a program calls it, on tiny models in this process.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import type { SampleOptions } from '../../../src/api/options.ts';
import { readRecipe } from '../../../src/api/recipe.ts';
import { type SampledImage, sample } from '../../../src/api/sample.ts';
import { readCheckpoint } from '../../../src/checkpoint/read.ts';
import { decodeImage } from '../../../src/data/decode.ts';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { DallePipeline, type GenerateRequest } from '../../../src/inference/dalle/pipeline.ts';
import { encodePng } from '../../../src/report/images/png.ts';
import { DataError, UsageError } from '../../../src/util/errors.ts';
import { TINY, writeImage, writeImages, writeTinyDvae } from '../../support/tiny-dvae.ts';
import { dalleConfig, dalleSession, writeTokenizer } from '../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-sample-api-'));
const dalle = join(root, 'dalle');
/** The same with other weights. They are large, so that captions matter. */
const other = join(root, 'other');
const photo = join(root, 'photo.png');
const GRID = 4;
const SETTINGS = { temperature: 0.7, topK: 12, topP: 0.9, guidance: 2 };

before(async () => {
  const data = {
    path: join(root, 'images'),
    dvae: join(root, 'dvae'),
    tokenizer: join(root, 'tokenizer.json'),
  };
  await writeImages(data.path, 14);
  await writeImage(photo, 99);
  await writeTinyDvae(data.dvae);
  await writeTokenizer(data.tokenizer, data.path);
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

/** What the models themselves draw. */
async function draw(
  make: (pipeline: DallePipeline) => Promise<Omit<GenerateRequest, 'prompt'>>,
): Promise<Uint8Array> {
  const runtime = new Runtime();
  try {
    const pipeline = await DallePipeline.open(
      runtime,
      await readCheckpoint(dalle, { kind: 'dalle', warn: assert.fail }),
    );
    const request = { prompt: '', ...(await make(pipeline)) };
    const images = await collect(pipeline.generate([request], SETTINGS, { batch: 1 }));
    return images[0]!.pixels;
  } finally {
    await runtime.close();
  }
}

describe('an image that begins with another one', () => {
  test('keeps its first rows of codes, and no more', async () => {
    const rows = 2;
    const primed = await one({
      prompts: ['picture 1'],
      seed: 3,
      ...SETTINGS,
      prime: { image: photo, rows },
    });
    const expected = await draw(async ({ codec, tokenizer }) => {
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

  test('must leave something to draw, and be an image', async () => {
    const prime = (image: string, rows: number) => all({ prompts: ['a'], prime: { image, rows } });
    await assert.rejects(prime(photo, GRID), (error: UsageError) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /prime\.rows 4 leaves nothing to draw: images have 4 rows/);
      return true;
    });
    await assert.rejects(prime(photo, 0), /prime\.rows is a whole number from 1 on, and got 0/);
    const text = join(root, 'tokenizer.json');
    await assert.rejects(prime(text, 1), (error: DataError) => {
      assert.ok(error instanceof DataError);
      assert.match(error.message, /cannot be used: not an image/);
      assert.equal(error.where, text);
      return true;
    });
  });
});

describe('a negative prompt', () => {
  test('is what guidance steers away from', async () => {
    const asked = { prompts: ['picture 1'], seed: 3, ...SETTINGS };
    const away = await one({ ...asked, negative: 'Image 7' });
    const expected = await draw(async ({ tokenizer }) => ({
      captionTokens: tokenizer.encode('picture 1'),
      negative: tokenizer.encode('picture 7'),
      seed: 3,
    }));
    assert.deepEqual(away.pixels, expected);
    assert.equal(away.metadata.negative, 'Image 7');
    const plain = await one(asked);
    assert.notDeepEqual(away.pixels, plain.pixels);
    assert.deepEqual((await one({ ...asked, negative: ' ' })).metadata, plain.metadata);
  });

  test('needs guidance', async () => {
    for (const guidance of [undefined, 1, 0.5])
      await assert.rejects(all({ prompts: ['a'], negative: 'b', guidance }), (error: UsageError) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, /negative acts through guidance, and guidance is/);
        return true;
      });
  });
});

describe('a caption that the model goes on with', () => {
  test('becomes the prompt, and says what it was made from', async () => {
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

describe('an image like one in a file', () => {
  const file = join(root, 'drawn.png');
  let drawn: SampledImage;
  before(async () => {
    drawn = await one({
      prompts: ['Image 12: étoile ★'],
      negative: 'picture 7',
      seed: 11,
      prime: { image: photo, rows: 1 },
      ...SETTINGS,
    });
    writeFileSync(file, await drawn.png());
  });

  test('is the same to the pixel, with nothing but the file', async () => {
    const [again, ...more] = await collect(sample({ like: file }));
    assert.deepEqual(more, []);
    assert.deepEqual(again!.pixels, drawn.pixels);
    assert.deepEqual(again!.metadata, drawn.metadata);
    assert.deepEqual(Buffer.from(await again!.png()), readFileSync(file));
    assert.deepEqual(await sharp(file).raw().toBuffer(), Buffer.from(drawn.pixels));
  });

  test('differs where options say so, and only there', async () => {
    const all = await collect(sample({ like: file, count: 2, seed: 10, temperature: 0.9 }));
    assert.deepEqual(
      all.map(({ seed }) => seed),
      [10, 11],
    );
    const { settings, seed: _, ...metadata } = all[1]!.metadata;
    const { settings: before, seed: __, ...kept } = drawn.metadata;
    assert.deepEqual(metadata, kept);
    assert.deepEqual(JSON.parse(settings!), { ...JSON.parse(before!), temperature: 0.9 });
    const [prompted] = await collect(sample({ like: file, prompts: ['picture 1'], negative: '' }));
    assert.equal(prompted!.prompt, 'picture 1');
    assert.equal(prompted!.seed, 11);
    assert.ok(!('negative' in prompted!.metadata));
  });

  test('is not drawn by other weights: both hashes are named', async () => {
    const drawing = collect(sample({ like: file, dalle: other }));
    await assert.rejects(drawing, (error: DataError) => {
      assert.ok(error instanceof DataError);
      const [first, second] = error.message.match(/[0-9a-f]{64}/g) ?? [];
      assert.equal(first, drawn.metadata.model);
      assert.match(second!, /./);
      assert.notEqual(first, second);
      return true;
    });
  });

  test('needs a file that says how it was made', async () => {
    await assert.rejects(collect(sample({ like: photo })), /the image does not say how it was made/);
    const { prompt, seed, settings, model } = drawn.metadata;
    const damages: Record<string, string>[] = [
      { prompt: prompt!, seed: '-1', settings: settings!, model: model! },
      { prompt: prompt!, seed: seed!, settings: '{"temperature":', model: model! },
      { prompt: prompt!, seed: seed!, settings: '{"temperature":"warm","guidance":1}', model: model! },
      { ...drawn.metadata, prime: '1 2 x' },
      { ...drawn.metadata, model: 'short' },
    ] as Record<string, string>[];
    for (const metadata of damages) {
      const path = join(root, 'damaged.png');
      writeFileSync(path, await encodePng(new Uint8Array(12), 2, 2, { metadata }));
      await assert.rejects(readRecipe(path), (error: DataError) => {
        assert.ok(error instanceof DataError);
        assert.equal(error.where, path);
        return true;
      });
    }
  });
});

describe('a program', () => {
  test('is told of progress, and may stop at any time and draw again', async () => {
    const progress: [number, number][] = [];
    const controller = new AbortController();
    const drawing = sample({
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
        for await (const image of drawing) {
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

  test('gets errors in its own words', async () => {
    for (const [options, message] of [
      [{ prompts: [] }, /there is no prompt/],
      [{ prompts: ['a'], dalle: undefined }, /dalle is missing/],
      [{ prompts: ['a'], topK: 0 }, /^topK is a whole number, or a share below 1, and got 0/],
      [{ prompts: ['a'], batchSize: 1.5 }, /^batchSize is a whole number from 1 on/],
      [{ prompts: ['a'], count: undefined, bestOf: 4 }, /^bestOf needs a CLIP/],
    ] as [SampleOptions, RegExp][])
      await assert.rejects(all(options), (error: UsageError) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, message);
        return true;
      });
  });
});
