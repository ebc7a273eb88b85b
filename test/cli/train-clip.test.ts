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

test('mm train-clip trains, and reports the negatives and the retrieval metrics', async () => {
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
      exit: EXIT.usage,
      code: 'E_CONFIG_INVALID',
      at: '--set train.batch=1',
      says: [/received 1/],
    },
    'a chunk that does not divide': {
      flags: set('train.gradCacheChunk=3'),
      exit: EXIT.usage,
      code: 'E_CONFIG_INVALID',
      at: '--set train.gradCacheChunk=3',
      says: [/batch \(4\).* 3/],
    },
    'a vocabulary that is too small': {
      flags: set('model.text.vocabulary=100'),
      exit: EXIT.usage,
      code: 'E_VOCABULARY_TOO_SMALL',
      says: [/model\.text\.vocabulary.* 100/],
    },
    'captions that are too long': {
      flags: set('model.text.length=4'),
      exit: EXIT.data,
      code: 'E_CAPTION_TOO_LONG',
      says: [/tokens, .* 4/, /truncateCaptions/],
    },
    'fewer images than a batch': {
      flags: set('train.batch=64'),
      exit: EXIT.data,
      code: 'E_TOO_FEW_IMAGES',
      says: [/64/],
    },
    'a tokenizer that is none': {
      flags: set(`data.tokenizer=${config}`),
      exit: EXIT.data,
      code: 'E_TOKENIZER_UNUSABLE',
      at: 'config.yaml',
    },
    'a template without {label}': {
      flags: set('data.zeroShot={images: x, templates: [a photo]}'),
      exit: EXIT.usage,
      code: 'E_CONFIG_INVALID',
      says: [/data\.zeroShot/],
    },
    'resumed with another model': {
      flags: [...flags, '--run', run, '--resume', '--set', 'model.embedding=4'],
      exit: EXIT.usage,
      code: 'E_RESUME_CONFIG',
      says: [/model/],
    },
  });
});
