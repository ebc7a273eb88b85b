// DALLE-pytorch's DiscreteVAE through the commands: trained, resumed, used, and converted.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { EXIT } from '../../src/util/errors.ts';
import { mmTogether } from '../support/mm-each.ts';
import { unpack } from '../support/parity.ts';
import { type Refusal, testRefusals } from '../support/refusal.ts';
import { writeImages } from '../support/tiny-dvae.ts';

const mm = mmTogether();
const root = mkdtempSync(join(tmpdir(), 'mm-dalle-pytorch-'));
const theirs = unpack('dalle-pytorch-c');
const data = join(root, 'images');
after(() => {
  for (const folder of [root, theirs]) rmSync(folder, { recursive: true });
});
before(() => writeImages(data, 12));

/** The sizes of the shipped configuration made small. */
const set = (...pairs: string[]): string[] => pairs.flatMap((pair) => ['--set', pair]);
const CONFIG = ['train-dvae', '--config', 'configs/dvae/dalle-pytorch.yaml', '--data', data];
const SMALL = set(
  ...['model.imageSize=16', 'model.layers=2', 'model.resnetBlocks=1', 'model.hiddenChannels=16'],
  ...['model.codebookDim=8', 'model.vocabulary=24', 'data.validation=0', 'train.batch=6'],
  ...['train.evaluateEvery=60', 'train.saveEvery=60', 'train.optimizer.learningRate.peak=0.004'],
  // Schedules of a fixed length, so that runs of any length have the same.
  ...['train.optimizer.learningRate.steps=120', 'train.temperature.steps=120'],
);
const train = (run: string, ...flags: string[]) => mm([...CONFIG, ...SMALL, '--run', run, ...flags]);

describe('mm train-dvae with architecture dalle-pytorch', () => {
  const variants = {
    soft: [],
    'straight-through': set('model.straightThrough=true', 'model.reconstruction=smooth-l1'),
    reinmax: set('model.straightThrough=true', 'model.reinmax=true', 'train.kl.weight=1e-5'),
  };
  const metrics = (run: string): string => readFileSync(join(root, run, 'metrics.jsonl'), 'utf8');
  for (const [name, flags] of Object.entries(variants)) {
    test(`${name} relaxation improves the hard reconstructions`, async () => {
      const { code, stderr } = await train(join(root, name), ...flags, ...set('train.steps=120'));
      assert.equal(code, 0, stderr);
      const lines = metrics(name).trim().split('\n');
      const errors = lines.flatMap((line) => JSON.parse(line)['validation/mse'] ?? []) as number[];
      assert.equal(errors.length, 3);
      assert.ok(errors.at(-1)! < 0.8 * errors[0]!, `${errors}`);
    });
  }

  test('a resumed run equals an uninterrupted one', async () => {
    const first = await train(join(root, 'parts'), ...set('train.steps=60'));
    const second = await train(join(root, 'parts'), ...set('train.steps=120'), '--resume');
    for (const { code, stderr } of [first, second]) assert.equal(code, 0, stderr);
    assert.equal(metrics('parts'), metrics('soft'));
  });
});

test('vae.pt becomes a checkpoint that other commands use', async () => {
  const dvae = join(root, 'dvae');
  const { code, stdout, stderr } = await mm(['convert', join(theirs, 'vae.pt'), '--to', dvae]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /DALLE-pytorch's DiscreteVAE, 16 codes, 16 pixels/);
  const made = await mm(['reconstruct', data, '--dvae', dvae, '--out', join(root, 'made.png'), '--json']);
  assert.equal(made.code, 0, made.stderr);
  const totals = JSON.parse(made.stdout.trim().split('\n').at(-1)!);
  assert.equal(totals.images, 12);
  assert.ok(totals.codesUsed > 3);
});

describe('settings that do not go together are refused', () => {
  const refused = (settings: string[], ...says: RegExp[]): Refusal => ({
    flags: [...CONFIG, '--run', join(root, 'never'), ...set(...settings)],
    exit: EXIT.usage,
    code: 'E_CONFIG_INVALID',
    says,
  });
  testRefusals({
    'a warm start, which is for the other architecture': refused(
      ['train.warmStart={steps: 10}'],
      /train\.warmStart: .* openai; received dalle-pytorch/,
    ),
    'a bound on ln b, which this architecture has not': refused(
      ['train.minLogScale=-1'],
      /train\.minLogScale: .* openai/,
    ),
    'ReinMax without one-hot codes': refused(['model.reinmax=true'], /model\.reinmax: .*straightThrough/),
    'an image that the layers do not divide': refused(
      ['model.imageSize=100'],
      /model\.imageSize: .*multiple of 8/,
    ),
    'a key of the other architecture': refused(['model.blocksPerGroup=2'], /model\.blocksPerGroup/),
    'another architecture': refused(
      ['model.architecture=vqvae'],
      /model\.architecture: .*"openai" or "dalle-pytorch", received "vqvae"/,
    ),
    'an architecture that is converted only': refused(
      ['model.architecture=vqgan'],
      /model\.architecture: mm does not train a VQGAN; mm convert/,
    ),
    'a standard deviation of 0': refused(
      ['model.normalization.stds=[0.5, 0, 0.5]'],
      /model\.normalization\.stds: .*above 0/,
    ),
  });
});
