// The joint Transformer memorizes eight captioned images, and samples them again from their captions.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readCheckpoint } from '../../../../src/checkpoint/read.ts';
import { type DalleConfig, dalleSchema } from '../../../../src/config/dalle.ts';
import { decodeImage } from '../../../../src/data/decode.ts';
import type { CaptionedImage } from '../../../../src/data/image.ts';
import { readImages } from '../../../../src/data/sources/resolve.ts';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import { dalleTokens } from '../../../../src/inference/dalle/generator.ts';
import { openPipeline } from '../../../../src/inference/open-pipeline.ts';
import { Sampler } from '../../../../src/inference/sampler/sampler.ts';
import { dalleSpec } from '../../../../src/models/dalle/model.ts';
import { Weights } from '../../../../src/nn/weights.ts';
import { readMetrics } from '../../../../src/report/run/metrics.ts';
import type { LoopResult } from '../../../../src/train/loop/loop.ts';
import { DataError } from '../../../../src/util/errors.ts';
import { TINY } from '../../../support/tiny-dvae.ts';
import { dalleConfig, dalleDataIn, dalleSession, writeDalleData } from '../../../support/tiny-runs.ts';

const IMAGES = 8;

const root = mkdtempSync(join(tmpdir(), 'mm-dalle-'));
const data = dalleDataIn(root);
before(async () => {
  await writeDalleData(root, IMAGES);
});
after(() => rmSync(root, { recursive: true }));

describe('eight captioned images', () => {
  const run = join(root, 'run');
  let config: DalleConfig;
  let result: LoopResult;
  let images: CaptionedImage[];
  before(async () => {
    const tiny = dalleConfig(data);
    config = dalleSchema.parse({
      ...tiny,
      data: { ...tiny.data, validation: 0, bpeDropout: 0 },
      model: { ...tiny.model, width: 32, attention: ['full'] },
      train: {
        ...tiny.train,
        steps: 200,
        batch: IMAGES,
        logEvery: 50,
        evaluateEvery: 100,
        saveEvery: 200,
        nullCaptions: 0,
        ema: undefined,
        optimizer: { learningRate: { peak: 1e-2, warmup: 10 }, clipNorm: 1 },
      },
    });
    result = await dalleSession(config)(run);
    images = await readImages(data.path, { captions: 'required' });
  });

  test('are memorized: the loss of every token is close to 0', async () => {
    const { imageLoss, textLoss } = result.evaluation;
    assert.ok(imageLoss! < 0.1, `${imageLoss} nats a code`);
    assert.ok(textLoss! < 1, `${textLoss} nats a text token`);
    const [first] = await readMetrics(join(run, 'metrics.jsonl'));
    const untrained = first!.values['validation/imageLoss']!;
    assert.ok(Math.abs(untrained - Math.log(TINY.vocabulary)) < 0.5, `${untrained} before training`);
  });

  test('are sampled from their captions, token for token and pixel for pixel', async () => {
    const runtime = new Runtime();
    const checkpoint = await readCheckpoint(run, { kind: 'dalle', warn: assert.fail });
    const pipeline = await openPipeline(runtime, checkpoint);
    const { codec } = pipeline.generator;
    const decoded = await Promise.all(
      images.map(({ path }) => decodeImage(path, { size: TINY.imageSize, crop: 'center' })),
    );
    const codes = await codec.encode(Buffer.concat(decoded));
    const tokens = images.map(({ captions: [caption] }) => pipeline.encode(caption as string).tokens);
    const settings = { temperature: 0.1, guidance: 1 };

    const weights = new Weights(runtime, 'trained', dalleSpec(config.model));
    await weights.load(await checkpoint.read('model', weights.expected()));
    const sampler = new Sampler(runtime, 'codes', dalleTokens(config.model, weights), {
      batch: IMAGES,
      settings,
    });
    const sampled = await sampler.sample(tokens.map((caption, seed) => ({ captionTokens: caption, seed })));
    const right = sampled.filter((code, i) => code === codes[i]).length;
    assert.ok(right >= 0.9 * codes.length, `${right} of ${codes.length} codes`);
    assert.ok(new Set(codes).size > 5, 'the images are all alike');

    // The pipeline does the same in batches of three, and decodes.
    const expected = await codec.decode(sampled);
    const requests = tokens.map((caption, seed) => ({ prompt: `${seed}`, captionTokens: caption, seed }));
    const progress: number[] = [];
    let at = 0;
    const onToken = (done: number): void => void progress.push(done);
    for await (const { prompt, seed, pixels, size } of pipeline.generate(requests, settings, {
      batch: 3,
      onToken,
    })) {
      const length = size ** 2 * 3;
      assert.deepEqual([prompt, seed, size], [String(at), at, TINY.imageSize]);
      assert.deepEqual(pixels, expected.subarray(at * length, (at + 1) * length));
      at += 1;
    }
    assert.equal(at, IMAGES);
    assert.equal(progress.at(-1), IMAGES * codec.grid ** 2);
    assert.deepEqual(
      progress,
      progress.toSorted((a, b) => a - b),
    );
    await runtime.close();
  });
});

describe('captions longer than the model reads, or blank,', () => {
  const short = (train: object = {}, truncateCaptions = false): DalleConfig => {
    const tiny = dalleConfig(data, 0, { steps: 1, batch: 2, ...train });
    return { ...tiny, data: { ...tiny.data, truncateCaptions }, model: { ...tiny.model, textLength: 2 } };
  };

  test('are refused before anything is written', async () => {
    const run = dalleSession(short())(join(root, 'long'));
    await assert.rejects(run, (error: DataError) => {
      assert.ok(error instanceof DataError);
      assert.equal(error.code, 'E_CAPTION_TOO_LONG');
      assert.match(error.message, /\b8\b.*\b2\b.*\bmodel\.textLength\b/);
      assert.match(String(error.where), /: a\/000$/);
      return true;
    });
    await assert.rejects(readCheckpoint(join(root, 'long'), { kind: 'dalle', warn: assert.fail }), {
      code: 'E_CHECKPOINT_NOT_FOUND',
    });
  });

  test('are cut where the configuration says so, prompts of the sample images too', async () => {
    const { steps } = await dalleSession(short({}, true))(join(root, 'cut'));
    assert.equal(steps, 1);
  });

  test('are refused and named when they are nothing but spaces', async () => {
    const blank = dalleConfig(data, 0, { samples: { prompts: ['image 1', '  '] } });
    await assert.rejects(dalleSession(blank)(join(root, 'blank')), (error: DataError) => {
      assert.ok(error instanceof DataError);
      assert.equal(error.where, 'train.samples.prompts.1');
      return error.code === 'E_CAPTION_EMPTY';
    });
  });

  test('are refused as prompts of the sample images, before anything is written', async () => {
    const long = 'a caption of very many letters indeed';
    const tiny = dalleConfig(data, 0, { samples: { prompts: ['image 1', long] } });
    const run = dalleSession(tiny)(join(root, 'prompts'));
    await assert.rejects(run, (error: DataError) => {
      assert.ok(error instanceof DataError);
      assert.equal(error.code, 'E_CAPTION_TOO_LONG');
      assert.match(error.message, /\b12\b.*\bmodel\.textLength\b/);
      assert.equal(error.where, 'train.samples.prompts.1');
      return true;
    });
    await assert.rejects(readCheckpoint(join(root, 'prompts'), { kind: 'dalle', warn: assert.fail }), {
      code: 'E_CHECKPOINT_NOT_FOUND',
    });
  });
});
