// Configurations that mm wrote, and those of older versions.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { clipSchema } from '../../../src/config/clip.ts';
import { dalleSchema, givenDalleSchema } from '../../../src/config/dalle.ts';
import { dvaeSchema } from '../../../src/config/dvae.ts';
import { kindOfConfig } from '../../../src/config/kind.ts';
import { dumpConfig, dumpStoredConfig, loadConfig } from '../../../src/config/load.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mm-stored-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

const LEARNING_RATE = { peak: 1e-3 };
const dvae = dvaeSchema.parse({
  data: { path: 'images' },
  model: { hiddenChannels: 8 },
  train: { steps: 1, batch: 1, optimizer: { learningRate: LEARNING_RATE }, ema: { decay: 0.9 } },
});
/** The same in the keys of version 1. */
const OLD_DVAE = dumpConfig(dvae).replace('hiddenChannels:', 'hidden:').replace('ema:', 'averaging:');

test('a stored configuration begins with its kind and version, and is read back', () => {
  const text = dumpStoredConfig('dvae', dvae);
  assert.match(text, /^kind: dvae\nversion: 2\nseed: 0\n/);
  const file = write('config.yaml', text);
  assert.deepEqual(loadConfig(dvaeSchema, { file }), dvae);
  assert.deepEqual(loadConfig(dvaeSchema, { file, storedAs: 'dvae' }), dvae);
});

test('a configuration of another kind is refused at its kind, by the names of both commands', () => {
  const file = write('config.yaml', dumpStoredConfig('dvae', dvae));
  for (const [schema, kind] of [
    [dalleSchema, 'dalle'],
    [clipSchema, 'clip'],
  ] as const) {
    assert.throws(() => loadConfig(schema, { file }), {
      code: 'E_CONFIG_KIND',
      where: `${file}:1:7`,
      message: new RegExp(`mm train-dvae.*mm train-${kind}`),
    });
  }
});

test('a configuration of a newer version is refused at its version', () => {
  const file = write('config.yaml', dumpStoredConfig('dvae', dvae).replace('version: 2', 'version: 3'));
  assert.throws(() => loadConfig(dvaeSchema, { file }), { code: 'E_CONFIG_VERSION', where: `${file}:2:10` });
});

test('config.yaml of version 1 is upgraded in a run or checkpoint folder, and where the caller knows its kind', () => {
  const files = ['metrics.jsonl', 'state.json'].map((neighbour) => {
    write(join(`with ${neighbour}`, neighbour), '');
    return write(join(`with ${neighbour}`, 'config.yaml'), OLD_DVAE);
  });
  for (const file of files) assert.deepEqual(loadConfig(dvaeSchema, { file }), dvae);
  const alone = write('config.yaml', OLD_DVAE);
  assert.deepEqual(loadConfig(dvaeSchema, { file: alone, storedAs: 'dvae' }), dvae);
  assert.throws(() => loadConfig(dvaeSchema, { file: alone }), { code: 'E_CONFIG_INVALID' });
  assert.throws(() => loadConfig(dalleSchema, { file: files[0] }), { code: 'E_CONFIG_KIND' });
});

test('train.recompute of before it had words is read in what mm wrote, and refused in a file of a user', () => {
  const config = {
    data: { path: 'images', tokenizer: 't', dvae: 'd' },
    model: { layers: 1, textVocabulary: 9 },
    train: { steps: 1, batch: 1, optimizer: { learningRate: LEARNING_RATE }, recompute: true },
  };
  const file = write('config.yaml', dumpStoredConfig('dalle', config));
  assert.equal(loadConfig(givenDalleSchema, { file }).train.recompute, 'full');
  const own = write('own.yaml', dumpConfig({ kind: 'dalle', ...config }));
  assert.throws(() => loadConfig(givenDalleSchema, { file: own }), {
    code: 'E_CONFIG_INVALID',
    message: /recompute: true .* full$/,
  });
});

test('the kind of a configuration without one follows from its model', () => {
  assert.equal(kindOfConfig({ model: { imageSize: 8 } }), 'dvae');
  assert.equal(kindOfConfig({ model: { image: {}, text: {} } }), 'clip');
  assert.equal(kindOfConfig({ model: { layers: 2 } }), 'dalle');
  assert.equal(kindOfConfig({ data: { dvae: 'x' } }), 'dalle');
  assert.equal(kindOfConfig({ kind: 'clip', model: { imageSize: 8 } }), 'clip');
});
