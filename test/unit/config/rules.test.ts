import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { z } from 'zod';
import { dalleSchema } from '../../../src/config/dalle.ts';
import { dvaeSchema } from '../../../src/config/dvae.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { UsageError } from '../../../src/util/errors.ts';

const RUN = ['train={steps: 10, batch: 2, optimizer: {learningRate: {peak: 0.001}}}'];
const DVAE = [...RUN, 'data.path=images', 'model={}'];
const DALLE = [...RUN, 'data={tokens: shards, dvae: d, tokenizer: t.json}', 'model={}'];

test('the papers’ models are accepted', () => {
  assert.equal(loadConfig(dvaeSchema, { set: DVAE }).model.vocabulary, 8192);
  assert.equal(loadConfig(dalleSchema, { set: DALLE }).model.layers, 64);
});

test('a dVAE that names no architecture is the published one; another names its own keys', () => {
  assert.equal(loadConfig(dvaeSchema, { set: DVAE }).model.architecture, 'openai');
  const { model } = loadConfig(dvaeSchema, {
    set: [...DVAE, 'model={architecture: dalle-pytorch, layers: 2}'],
  });
  assert.ok(model.architecture === 'dalle-pytorch' && model.layers === 2);
});

const broken: [schema: z.ZodType, good: string[], set: string, message: RegExp][] = [
  [dvaeSchema, DVAE, 'model.imageSize=60', /model\.imageSize: must be a multiple of 8/],
  [dalleSchema, DALLE, 'model.heads=60', /model\.width: must be a multiple of heads \(60\); received 3968/],
  [dalleSchema, DALLE, 'model.kernelSize=4', /model\.kernelSize: must be odd/],
  [
    dalleSchema,
    [...DALLE, 'train.sharding=parameters'],
    'train.recompute=none',
    /train\.sharding: parameters needs train\.recompute: full; received none/,
  ],
  [
    dalleSchema,
    [...DALLE, 'train.sharding=optimizer'],
    'train.optimizer.kind=muon',
    /train\.sharding: optimizer does not go with train\.optimizer\.kind: muon/,
  ],
  [dalleSchema, DALLE, 'data.path=images', /data: give either path or tokens/],
  [dalleSchema, DALLE, 'data.tokens=null', /data: give either path or tokens/],
  [dvaeSchema, DVAE, 'train.optimizer.learningRate.end=1', /learningRate\.end: must not exceed peak/],
  [
    dvaeSchema,
    DVAE,
    'train.optimizer.learningRate={peak: 1, warmup: 5, steps: 5}',
    /warmup: must be below steps/,
  ],
  [
    dvaeSchema,
    DVAE,
    'train.optimizer.learningRate={peak: 1, warmup: 5, hold: 3, steps: 8}',
    /hold: must be below steps \(8\); received 3 after a warm-up of 5/,
  ],
];
for (const [schema, good, set, message] of broken) {
  test(`${set} is refused`, () => {
    const load = (): unknown => loadConfig(schema, { set: [...good, set] });
    assert.throws(load, (error) => {
      assert.ok(error instanceof UsageError);
      assert.equal(error.code, 'E_CONFIG_INVALID');
      return message.test(error.message);
    });
  });
}
