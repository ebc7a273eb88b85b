// The same seed gives the same run, bit for bit; so does a run that was stopped and resumed.

import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { InterruptedError } from '../../../src/util/errors.ts';
import { writeImages, writeTinyDvae } from '../../support/tiny-dvae.ts';
import {
  clipConfig,
  clipSession,
  dalleConfig,
  dalleSession,
  digests,
  dvaeConfig,
  dvaeSession,
  lasting,
  type SessionOptions,
  type TrainSession,
  WARM_START,
  writeTokenizer,
} from '../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-repeat-'));
const data = join(root, 'images');
const dvae = join(root, 'dvae');
const tokenizer = join(root, 'tokenizer.json');
before(async () => {
  await writeImages(data, 14);
  await writeImages(several.path, 14);
  for (const name of readdirSync(several.path, { recursive: true, encoding: 'utf8' }))
    if (name.endsWith('.txt')) appendFileSync(join(several.path, name), 'red\nblue\n');
  await writeTinyDvae(dvae);
  await writeTokenizer(tokenizer, data);
});
after(() => rmSync(root, { recursive: true }));

interface Case {
  readonly name: string;
  readonly session: (seed: number) => TrainSession;
  readonly stops: readonly NonNullable<SessionOptions['stop']>[];
}

const captioned = { path: data, dvae, tokenizer };
const several = { ...captioned, path: join(root, 'several') };
const cases: Case[] = [
  {
    name: 'train-dvae',
    session: (seed) => dvaeSession(dvaeConfig(data, seed)),
    stops: [
      { label: 'train-dvae', at: 0 },
      { label: 'train-dvae', at: 4 },
      { label: 'train-dvae', at: 7 },
    ],
  },
  {
    name: 'train-dvae with a warm start',
    session: (seed) => dvaeSession(dvaeConfig(data, seed, { warmStart: WARM_START })),
    stops: [
      { label: 'train-dvae: warm start', at: 2 },
      { label: 'train-dvae', at: 1 },
    ],
  },
  {
    name: 'train-dvae in float16, its loss scale overflowing and growing, dead codes revived',
    session: (seed) =>
      dvaeSession(
        dvaeConfig(data, seed, {
          precision: 'float16',
          lossScale: { start: 2 ** 30, growEvery: 2 },
          codebook: { revive: { every: 4 } },
        }),
      ),
    stops: [{ label: 'train-dvae', at: 5 }],
  },
  {
    name: 'train-dalle',
    session: (seed) => dalleSession(dalleConfig(captioned, seed)),
    stops: [
      { label: 'train-dalle', at: 0 },
      { label: 'train-dalle', at: 4 },
      { label: 'train-dalle', at: 7 },
    ],
  },
  {
    name: 'train-dalle in parts, in float16 with scales that overflow, with dropout, recomputed, on plateaus',
    session: (seed) =>
      dalleSession(
        dalleConfig(captioned, seed, {
          accumulateSteps: 2,
          precision: 'float16',
          blockLossScale: { start: 2 ** 24 },
          dropout: { attention: 0.1, feedForward: 0.1 },
          recompute: true,
          plateau: { patience: 1, threshold: 10 },
        }),
      ),
    stops: [{ label: 'train-dalle', at: 7 }],
  },
  {
    name: 'train-dalle, with several captions of each image',
    session: (seed) => dalleSession(dalleConfig(several, seed)),
    stops: [{ label: 'train-dalle', at: 7 }],
  },
  {
    name: 'train-clip',
    session: (seed) => clipSession(clipConfig({ path: data, tokenizer }, { seed })),
    stops: [
      { label: 'train-clip', at: 0 },
      { label: 'train-clip', at: 4 },
      { label: 'train-clip', at: 7 },
    ],
  },
  {
    name: 'train-clip in chunks',
    session: (seed) =>
      clipSession(clipConfig({ path: data, tokenizer }, { seed, train: { gradCacheChunk: 2 } })),
    stops: [{ label: 'train-clip', at: 5 }],
  },
  {
    name: 'train-clip, a ResNet',
    session: (seed) =>
      clipSession(
        clipConfig(
          { path: data, tokenizer },
          { seed, model: { image: { tower: 'resnet', size: 32, width: 2, blocks: [1, 1, 1, 1] } } },
        ),
      ),
    stops: [{ label: 'train-clip', at: 5 }],
  },
];

for (const [index, { name, session, stops }] of cases.entries()) {
  describe(name, () => {
    const train = session(1);
    const folder = (what: string): string => join(root, `${index} ${what}`);
    const whole = folder('whole');
    before(() => train(whole));

    test('the same seed gives every byte of the checkpoints, the metrics and the images', async () => {
      await train(folder('again'));
      const files = lasting(folder('again'));
      assert.deepEqual(files, lasting(whole));
      for (const part of ['model', 'ema', 'optimizer'])
        assert.ok(files[`checkpoints/step-10/${part}.safetensors`], part);
      assert.ok(files['metrics.jsonl']);
      assert.ok(files['samples/step-10.png']);
    });

    test('another seed gives other weights', async () => {
      await session(2)(folder('other'));
      const model = 'checkpoints/step-10/model.safetensors';
      assert.notEqual(digests(folder('other'))[model], digests(whole)[model]);
    });

    for (const stop of stops) {
      test(`stopped in ${stop.label} at ${stop.at} and resumed, it equals an uninterrupted run`, async () => {
        const run = folder(`stopped ${stops.indexOf(stop)}`);
        await assert.rejects(train(run, { stop }), InterruptedError);
        await train(run, { resume: true });
        const files = lasting(run);
        const expected = lasting(whole);
        // Ctrl-C saved an additional checkpoint, for which an older one may have been removed.
        const isOld = (file: string): boolean => /^checkpoints\/step-(?!10\/)/.test(file);
        const late = (all: Record<string, string>) =>
          Object.fromEntries(Object.entries(all).filter(([file]) => !isOld(file)));
        assert.deepEqual(late(files), late(expected));
      });
    }

    test('resumed when it is finished, it changes nothing', async () => {
      const before = lasting(whole);
      const { mtimeMs } = statSync(join(whole, 'checkpoints/step-10/state.json'));
      const { checkpoint, steps, evaluation, lastLoss } = await train(whole, { resume: true });
      assert.equal(checkpoint, join(whole, 'checkpoints', 'step-10'));
      assert.equal(steps, 10);
      assert.equal(lastLoss, undefined);
      assert.ok(Object.keys(evaluation).length > 0);
      assert.deepEqual(lasting(whole), before);
      assert.equal(statSync(join(whole, 'checkpoints/step-10/state.json')).mtimeMs, mtimeMs);
    });
  });
}
