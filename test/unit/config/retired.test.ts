// Keys and values of the configuration that were renamed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clipSchema } from '../../../src/config/clip.ts';
import { dalleSchema } from '../../../src/config/dalle.ts';
import { dvaeSchema } from '../../../src/config/dvae.ts';
import { inputSchema, schemasAt } from '../../../src/config/explain.ts';
import type { ModelKind } from '../../../src/config/kind.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { RETIRED_KEYS, RETIRED_VALUES, upgradeConfig } from '../../../src/config/retired.ts';
import { UsageError } from '../../../src/util/errors.ts';

const errorOf = (kind: ModelKind, set: string[]): UsageError => {
  try {
    loadConfig(SCHEMAS[kind], { set });
  } catch (error) {
    assert.ok(error instanceof UsageError);
    return error;
  }
  return assert.fail('was accepted');
};

const SCHEMAS = { dvae: dvaeSchema, dalle: dalleSchema, clip: clipSchema } as const;
const KINDS = Object.keys(SCHEMAS) as ModelKind[];

test('each renamed key exists under its new name alone, in the section it was in', () => {
  for (const kind of KINDS) {
    const root = inputSchema(SCHEMAS[kind]);
    const exists = (path: string): boolean => schemasAt(root, path.split('.')).length > 0;
    const section = (path: string): string => path.split('.').slice(0, -1).join('.');
    for (const [old, now] of RETIRED_KEYS[kind]) {
      assert.ok(!exists(old), `${kind}: ${old}`);
      assert.ok(exists(now), `${kind}: ${now}`);
      assert.equal(section(old), section(now));
    }
  }
});

test('each renamed value is one that its key takes under the new name alone', () => {
  for (const kind of KINDS) {
    const root = inputSchema(SCHEMAS[kind]);
    for (const [path, renames] of Object.entries(RETIRED_VALUES[kind])) {
      const [schema] = schemasAt(root, path.split('.'));
      const choices = schema?.enum ?? (schema?.items as { enum?: unknown[] } | undefined)?.enum ?? [];
      for (const [old, now] of renames) {
        assert.ok(!choices.includes(old), `${kind}: ${path} ${old}`);
        assert.ok(choices.includes(now), `${kind}: ${path} ${now}`);
      }
    }
  }
});

test('upgrading gives renamed keys and values their new names, keeps all others, and changes no argument', () => {
  const old = {
    seed: 3,
    model: { convolution: 5, attention: ['row', 'ownRow', 'corner'], lastAttention: 'corner', width: 8 },
    train: { averaging: { decay: 0.9 }, accumulate: 2, plateau: { times: 4 }, from: 'a', recompute: false },
  };
  const before = structuredClone(old);
  assert.deepEqual(upgradeConfig('dalle', old), {
    seed: 3,
    model: {
      kernelSize: 5,
      attention: ['row', 'axial-row', 'conv-like'],
      lastAttention: 'conv-like',
      width: 8,
    },
    train: {
      ema: { decay: 0.9 },
      accumulateSteps: 2,
      plateau: { maxCuts: 4 },
      initFrom: 'a',
      recompute: 'light',
    },
  });
  assert.deepEqual(old, before);
  assert.deepEqual(upgradeConfig('dvae', { model: { hidden: 8 }, train: { warmStart: { pictures: 3 } } }), {
    model: { hiddenChannels: 8 },
    train: { warmStart: { images: 3 } },
  });
  assert.deepEqual(upgradeConfig('clip', { data: { zeroShot: { pictures: 'p' } }, train: { chunk: 4 } }), {
    data: { zeroShot: { images: 'p' } },
    train: { gradCacheChunk: 4 },
  });
});

test('upgrading leaves a configuration without renamed keys, and what is none, as it is', () => {
  const config = { model: { kernelSize: 3 }, train: { ema: { decay: 0.5 } } };
  assert.deepEqual(upgradeConfig('dalle', config), config);
  for (const value of [null, undefined, 3, 'text', []]) assert.equal(upgradeConfig('dalle', value), value);
});

test('a configuration with an old key or value gets its new name', () => {
  for (const kind of KINDS)
    for (const [old, now] of RETIRED_KEYS[kind]) {
      const { code, message } = errorOf(kind, [`${old}=1`]);
      assert.equal(code, 'E_CONFIG_INVALID');
      assert.match(message, new RegExp(`${old} was renamed to ${now}$`, 'm'));
    }
  const set = ['model.attention=[row, ownRow]', 'model.lastAttention=corner', 'train.recompute=true'];
  const { message } = errorOf('dalle', set);
  assert.match(message, /model\.attention\.1: ownRow was renamed to axial-row$/m);
  assert.match(message, /model\.lastAttention: corner was renamed to conv-like$/m);
  assert.match(message, /train\.recompute: true was renamed to full$/m);
});

test('an old key is no hint where its new name is none of the configuration', () => {
  assert.doesNotMatch(errorOf('clip', ['train.accumulate=2']).message, /renamed/);
});
