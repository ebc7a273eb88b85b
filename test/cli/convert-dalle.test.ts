// A checkpoint of DALLE-pytorch, from conversion to images.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EXIT } from '../../src/util/errors.ts';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';

const mm = mmTogether();
const root = mkdtempSync(join(tmpdir(), 'mm-convert-dalle-'));
after(() => rmSync(root, { recursive: true }));
const theirs = fileURLToPath(new URL('../parity/fixtures/dalle-pytorch/tied.pt', import.meta.url));
const tokenizer = join(root, 'tokenizer.json');
writeFileSync(join(root, 'captions.txt'), 'abc\n');

test('a DALLE of DALLE-pytorch is converted, and samples images', async () => {
  const trained = await mm([
    'train-bpe',
    '--data',
    join(root, 'captions.txt'),
    '--out',
    tokenizer,
    '--vocabulary',
    '256',
  ]);
  assert.equal(trained.code, 0, trained.stderr);
  const dalle = join(root, 'dalle');
  const converted = await mmAlone(['convert', theirs, '--to', dalle, '--tokenizer', tokenizer, '--json']);
  assert.equal(converted.code, 0, converted.stderr);
  const { kind, config } = JSON.parse(converted.stdout);
  assert.equal(kind, 'dalle');
  assert.deepEqual([config.model.tiedEmbeddings, config.model.headWidth, config.model.grid], [true, 12, 4]);
  const out = join(root, 'images');
  const sampled = await mm([
    'sample',
    '--dalle',
    dalle,
    '--prompt',
    'ab',
    '--count',
    '2',
    '--out',
    out,
    '--json',
  ]);
  assert.equal(sampled.code, 0, sampled.stderr);
  const files = sampled.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).file as string);
  assert.equal(files.length, 2);
  assert.ok(files.every(existsSync));
});

test('a DALLE without its tokenizer is refused', async () => {
  const { code, stderr } = await mm(['convert', theirs, '--to', join(root, 'without')]);
  assert.equal(code, EXIT.usage);
  assert.match(stderr, / {2}at: {2}.*tied\.pt\n[\s\S]* {2}code: E_TOKENIZER_MISSING\n/);
  assert.ok(!existsSync(join(root, 'without')));
});
