// mm train-clip as a user calls it.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { dumpConfig } from '../../src/config/load.ts';
import { EXIT } from '../../src/util/errors.ts';
import { mm } from '../support/mm.ts';
import { testRefusals } from '../support/refusal.ts';
import { writeImages } from '../support/tiny-dvae.ts';
import { clipConfig, writeTokenizer } from '../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-train-clip-'));
const data = join(root, 'images');
const tokenizer = join(root, 'tokenizer.json');
const config = join(root, 'config.yaml');
const run = join(root, 'run');
const flags = ['train-clip', '--config', config];
before(async () => {
  await writeImages(data, 11);
  await writeTokenizer(tokenizer, data);
  writeFileSync(config, dumpConfig(clipConfig({ path: data, tokenizer }, { train: { gradCacheChunk: 2 } })));
});
after(() => rmSync(root, { recursive: true }));

test('trains; says the negatives and how well captions are found', async () => {
  const { code, stdout, stderr } = await mm([...flags, '--run', run, '--json']);
  assert.equal(code, 0, stderr);
  const result = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(result.checkpoint, join(run, 'checkpoints', 'step-10'));
  assert.equal(result.negatives, 3);
  for (const name of ['firstLoss', 'lastLoss', 'imageToText@1', 'textToImage@10'])
    assert.equal(typeof result[name], 'number', name);
  assert.match(stderr, /each image against 3 other texts, 2 images in memory at a time/);
  assert.ok(existsSync(join(run, 'checkpoints', 'step-10', 'tokenizer.json')));
});

describe('mistakes', () => {
  const set = (...settings: string[]) => [
    ...flags,
    '--run',
    join(root, 'none'),
    ...settings.flatMap((s) => ['--set', s]),
  ];
  testRefusals({
    'a batch of one': {
      flags: set('train.batch=1', 'train.gradCacheChunk=1'),
      code: EXIT.usage,
      says: [/must be 2 at least/],
    },
    'a chunk that does not divide': {
      flags: set('train.gradCacheChunk=3'),
      code: EXIT.usage,
      says: [/must divide batch \(4\); received 3/],
    },
    'a vocabulary that is too small': {
      flags: set('model.text.vocabulary=100'),
      code: EXIT.usage,
      says: [/model\.text\.vocabulary is 100, 2 of them its own/],
    },
    'captions that are too long': {
      flags: set('model.text.length=4'),
      code: EXIT.data,
      says: [/tokens, the model reads 4/, /truncateCaptions/],
    },
    'fewer images than a batch': {
      flags: set('train.batch=64'),
      code: EXIT.data,
      says: [/fewer than one batch of 64/],
    },
    'a tokenizer that is none': {
      flags: set(`data.tokenizer=${config}`),
      code: EXIT.data,
      says: [/not a usable CLIP tokenizer/],
    },
    'a template without {label}': {
      flags: set('data.zeroShot={images: x, templates: [a photo]}'),
      code: EXIT.usage,
      says: [/data\.zeroShot/],
    },
    'resumed with another model': {
      flags: [...flags, '--run', run, '--resume', '--set', 'model.embedding=4'],
      code: EXIT.usage,
      says: [/model differs from the run that is resumed/],
    },
  });
});
