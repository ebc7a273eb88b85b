// Configurations from files, --set and flags, and the errors about them. Their wording is made from the schema, so it is
// pinned here.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { z } from 'zod';
import { type ConfigSource, dumpConfig, loadConfig } from '../../../src/config/load.ts';
import { type ErrorCode, EXIT, formatUserError, UsageError } from '../../../src/util/errors.ts';

const schema = z.strictObject({
  seed: z.int().min(0).default(0),
  data: z.strictObject({ path: z.string(), crop: z.enum(['random', 'center']).default('random') }),
  kinds: z
    .array(z.enum(['full', 'row']))
    .min(1)
    .default(['full']),
  size: z.union([z.literal('auto'), z.int().positive()]).default('auto'),
  train: z
    .strictObject({
      steps: z.int().positive(),
      learningRate: z.number().positive().default(0.001),
      average: z.strictObject({ decay: z.number().lt(1), every: z.int().default(1) }).optional(),
    })
    .superRefine(({ steps, average }, context) => {
      if (average && average.every > steps) {
        context.addIssue({
          code: 'custom',
          path: ['average', 'every'],
          message: 'must not exceed train.steps',
        });
      }
    }),
});

const folder = mkdtempSync(join(tmpdir(), 'mm-config-'));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'c.yaml');

const GOOD = 'data:\n  path: images\ntrain:\n  steps: 10\n';

function load(text: string | Uint8Array, source: ConfigSource = {}): z.output<typeof schema> {
  writeFileSync(file, text);
  return loadConfig(schema, { file, ...source });
}

/** The whole message that users see when `run` fails as it must, with the file's name shortened. */
function failure(run: () => unknown, code?: ErrorCode): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof UsageError, String((error as Error).stack));
    assert.equal(error.exitCode, EXIT.usage);
    assert.ok(error.fix, 'says the fix');
    if (code !== undefined) assert.equal(error.code, code);
    return formatUserError(error).replaceAll(file, 'c.yaml');
  }
  assert.fail('was accepted');
}

const failing = (text: string | Uint8Array, source?: ConfigSource, code?: ErrorCode): string =>
  failure(() => load(text, source), code);

describe('sources', () => {
  test('a file gives its values, and the defaults of the others', () => {
    assert.deepEqual(load(GOOD), {
      seed: 0,
      data: { path: 'images', crop: 'random' },
      kinds: ['full'],
      size: 'auto',
      train: { steps: 10, learningRate: 0.001 },
    });
  });

  test('flags win over --set, which wins over the file; undefined flags are skipped', () => {
    const config = load(`seed: 1\n${GOOD}`, {
      set: ['seed=2', 'train.steps=20', 'train.learningRate=1e-4', 'data.path=other=place'],
      flags: { 'train.steps': 30, 'train.learningRate': undefined },
    });
    assert.equal(config.seed, 2);
    assert.equal(config.train.steps, 30);
    assert.equal(config.train.learningRate, 1e-4);
    assert.equal(config.data.path, 'other=place');
  });

  test('a configuration needs no file', () => {
    assert.equal(loadConfig(schema, { set: ['data.path=x', 'train={steps: 5}'] }).train.steps, 5);
  });

  test('--set reaches into lists, makes sections and removes keys', () => {
    const text = `${GOOD}  average: { decay: 0.5 }\nkinds: [full, full]\n`;
    const config = load(text, { set: ['kinds.1=row', 'kinds.2=row', 'train.average=null'] });
    assert.deepEqual(config.kinds, ['full', 'row', 'row']);
    assert.equal(config.train.average, undefined);
    assert.deepEqual(load(GOOD, { set: ['train.average.decay=0.9'] }).train.average, {
      decay: 0.9,
      every: 1,
    });
  });

  test('--set changes one of two aliases, not what they share', () => {
    const any = z.record(z.string(), z.record(z.string(), z.number()));
    writeFileSync(file, 'a: &a { x: 1 }\nb: *a\n');
    assert.deepEqual(loadConfig(any, { file, set: ['b.x=2'] }), { a: { x: 1 }, b: { x: 2 } });
  });

  test('a dumped configuration loads as the same', () => {
    const config = load(GOOD, { set: ['data.path="a: b # c"', 'train.average.decay=0.25'] });
    assert.deepEqual(load(dumpConfig(config)), config);
  });
});

describe('problems', () => {
  const cases: [name: string, text: string, set: string[], message: string][] = [
    [
      'unknown key',
      `${GOOD}  learnign_rate: 1\n`,
      [],
      'train.learnign_rate is not a known key; did you mean learningRate?\n  at:  c.yaml:5:3',
    ],
    [
      'key of another section',
      `${GOOD}learningRate: 1\n`,
      [],
      'learningRate is not a known key; did you mean train.learningRate?\n  at:  c.yaml:5:1',
    ],
    [
      'key like none',
      `${GOOD}  zebra: 1\n`,
      [],
      'train.zebra is not a known key; known here: steps, learningRate, average\n  at:  c.yaml:5:3',
    ],
    ['prototype key', `${GOOD}__proto__: {seed: 1}\n`, [], '__proto__ is not a known key'],
    [
      'choice',
      'data: { path: x, crop: centre }\ntrain: { steps: 1 }\n',
      [],
      'data.crop: expected "random" or "center", received "centre"; did you mean center?\n  at:  c.yaml:1:24',
    ],
    [
      'type',
      GOOD.replace('10', 'ten'),
      [],
      'train.steps: expected an integer, above 0, received "ten"\n  at:  c.yaml:4:10',
    ],
    [
      'bound',
      GOOD.replace('10', '0'),
      [],
      'train.steps: expected an integer, above 0, received 0\n  at:  c.yaml:4:10',
    ],
    [
      'not a number',
      `${GOOD}  learningRate: .nan\n`,
      [],
      'train.learningRate: expected a number, above 0, received NaN\n  at:  c.yaml:5:17',
    ],
    [
      'blank',
      GOOD.replace('images', ''),
      [],
      'data.path: expected text, received nothing\n  at:  c.yaml:2:9',
    ],
    [
      'missing',
      'data:\n  path: x\ntrain: {}\n',
      [],
      'train.steps is missing; expected an integer, above 0\n  at:  c.yaml:3:1',
    ],
    [
      'list item',
      `${GOOD}kinds:\n- full\n- rwo\n`,
      [],
      'kinds.1: expected "full" or "row", received "rwo"; did you mean row?\n  at:  c.yaml:7:3',
    ],
    [
      'empty list',
      `${GOOD}kinds: []\n`,
      [],
      'kinds: expected a list of at least 1, each "full" or "row", received an empty list',
    ],
    ['union', `${GOOD}size: big\n`, [], 'size: expected "auto" or an integer, above 0, received "big"'],
    [
      'cross-field rule',
      `${GOOD}  average: { decay: 0.5, every: 11 }\n`,
      [],
      'train.average.every: must not exceed train.steps\n  at:  c.yaml:5:33',
    ],
    [
      'section for a value',
      `${GOOD}seed: { x: 1 }\n`,
      [],
      'seed: expected an integer, at least 0, received a map\n  at:  c.yaml:5:7',
    ],
    ['cycle', `${GOOD}kinds: &k [*k]\n`, [], 'kinds.0: expected "full" or "row", received a list of 1'],
    [
      'set: unknown key',
      GOOD,
      ['train.stepz=1'],
      'train.stepz is not a known key; did you mean steps?\n  at:  --set train.stepz=1',
    ],
    [
      'set: value',
      `seed: 1\n${GOOD}`,
      ['seed=x'],
      'seed: expected an integer, at least 0, received "x"\n  at:  --set seed=x',
    ],
    [
      'set: into a value',
      `seed: 1\n${GOOD}`,
      ['seed.x=1'],
      'seed: expected an integer, at least 0, received a map\n  at:  --set seed.x=1',
    ],
    ['set: prototype', GOOD, ['__proto__.seed=1'], '__proto__ is not a known key'],
    [
      'set: half a section',
      GOOD,
      ['train.average.every=2'],
      'train.average.decay is missing; expected a number, below 1\n  at:  --set train.average.every=2',
    ],
    [
      'set: unrelated to the fault',
      'data: { path: x }\ntrain: {}\n',
      ['train.learningRate=1'],
      'train.steps is missing; expected an integer, above 0\n  at:  c.yaml:2:1',
    ],
    [
      'set: list place',
      `${GOOD}kinds: [full]\n`,
      ['kinds.x=row'],
      '--set kinds.x=row: the list has no item "x", only 0 to 1',
    ],
    [
      'set: list gap',
      `${GOOD}kinds: [full]\n`,
      ['kinds.5=row'],
      '--set kinds.5=row: the list has no item "5", only 0 to 1',
    ],
    ['set: no value', GOOD, ['seed'], '--set seed has no "="'],
    ['set: no key', GOOD, ['=1'], '--set =1 names no key'],
    ['set: empty key', GOOD, ['train..steps=1'], '--set train..steps=1 names no key'],
    ['set: bad YAML', GOOD, ['seed=[1'], '--set seed=[1: the value is not YAML: '],
  ];
  for (const [name, text, set, message] of cases) {
    test(name, () => {
      const isSyntax = message.startsWith('--set ');
      const shown = failing(text, { set }, isSyntax ? 'E_SET_SYNTAX' : 'E_CONFIG_INVALID');
      assert.ok(shown.startsWith(`error: ${message}`), shown);
    });
  }

  test('a flag is named by its key', () => {
    assert.match(
      failing(GOOD, { flags: { 'train.steps': 0.5 } }),
      /at: {2}the command line \(train\.steps\)/,
    );
  });

  test('several are all listed, each with its place', () => {
    const shown = failing('data:\n  crop: x\ntrain:\n  stps: 1\n', { set: ['seed=-1'] });
    assert.match(shown, /^error: 5 problems in the configuration:\n/);
    for (const part of [
      '--set seed=-1: seed: expected',
      'c.yaml:1:1: data.path is missing',
      'c.yaml:2:9: data.crop: expected',
      'c.yaml:3:1: train.steps is missing',
      'c.yaml:4:3: train.stps is not a known key; did you mean steps?',
    ]) {
      assert.ok(shown.includes(`\n  ${part}`), `${part} in ${shown}`);
    }
  });

  test('hundreds are counted, the first shown', () => {
    const many = Array.from({ length: 300 }, (_, i) => `zebra${i}: 1\n`).join('');
    const shown = failing(GOOD + many);
    assert.match(shown, /^error: 300 problems/);
    assert.match(shown, /and 280 more/);
  });
});

describe('files that are no configuration', () => {
  const bomb = ['a: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 10; i++)
    bomb.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(', ')}]`,
    );
  const cases: [name: string, text: string | Uint8Array, message: RegExp, code?: ErrorCode][] = [
    ['empty', '', /the configuration is empty\n {2}at: {2}c\.yaml/],
    ['comments only', '# nothing\n', /the configuration is empty/],
    ['a list', '- 1\n', /not a map of keys\n {2}at: {2}c\.yaml:1:1/],
    ['a word', 'hello', /not a map of keys/],
    ['tabs', 'data:\n\tpath: x\n', /Tabs are not allowed as indentation\n {2}at: {2}c\.yaml:2:1/],
    ['duplicate key', `${GOOD}data: {}\n`, /Map keys must be unique\n {2}at: {2}c\.yaml:5:1/],
    ['open bracket', 'data: [1, 2\n', /at: {2}c\.yaml:2:1/],
    ['two documents', `${GOOD}---\n${GOOD}`, /multiple documents/],
    ['unknown tag', 'data: !!python/object {}\n', /tag/i],
    ['unknown alias', 'data: *x\n', /alias/],
    ['alias bomb', bomb.join('\n'), /Excessive alias count/],
    ['deep nesting', '['.repeat(5000), /problems/],
    ['bytes that are not UTF-8', Uint8Array.of(0x61, 0x3a, 0xff, 0xfe), /not UTF-8 text/, 'E_CONFIG_FILE'],
    ['zero bytes', new Uint8Array(100), /error/],
    ['huge', new Uint8Array(2 ** 20 + 1), /1048577 bytes/, 'E_CONFIG_FILE'],
  ];
  for (const [name, text, message, code = 'E_CONFIG_SYNTAX'] of cases)
    test(name, () => assert.match(failing(text, {}, code), message));

  test('missing', () => {
    assert.match(
      failure(() => loadConfig(schema, { file: join(folder, 'none.yaml') }), 'E_CONFIG_FILE'),
      /none\.yaml/,
    );
  });

  test('a folder', () => {
    mkdirSync(join(folder, 'sub'));
    assert.match(
      failure(() => loadConfig(schema, { file: join(folder, 'sub') }), 'E_CONFIG_FILE'),
      /is a folder/,
    );
  });
});
