// mm train-dvae as a user calls it.

import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { dumpConfig } from '../../src/config/load.ts';
import { EXIT } from '../../src/util/errors.ts';
import { assertInterrupted, signalWhen } from '../support/interruption.ts';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';
import { asksForSetup, type Refusal, testRefusals } from '../support/refusal.ts';
import { writeImages } from '../support/tiny-dvae.ts';
import { digests, dvaeConfig, lasting } from '../support/tiny-runs.ts';

const STEPS = 40;

const root = mkdtempSync(join(tmpdir(), 'mm-train-dvae-'));
const data = join(root, 'images');
const config = join(root, 'config.yaml');
const whole = join(root, 'whole');
const mm = mmTogether();
const command = (run: string, flags: readonly string[]): string[] => [
  ...['train-dvae', '--config', config, '--run', run],
  ...flags,
];
const train = (run: string, flags: readonly string[] = []) => mm(command(run, flags));
const trainAlone = (run: string, flags: readonly string[], watch?: ReturnType<typeof signalWhen>) =>
  mmAlone(command(run, flags), watch);

before(async () => {
  await writeImages(data, 14);
  writeFileSync(config, dumpConfig(dvaeConfig(data, 3, { steps: STEPS, evaluateEvery: 10, saveEvery: 5 })));
});
after(() => rmSync(root, { recursive: true }));

test('a run prints its checkpoint, and with --json its losses and metrics too', async () => {
  const { code, stdout, stderr } = await trainAlone(whole, ['--json']);
  assert.equal(code, 0, stderr);
  const result = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(result.checkpoint, join(whole, 'checkpoints', `step-${STEPS}`));
  assert.equal(result.steps, STEPS);
  for (const name of [
    'seconds',
    'firstLoss',
    'lastLoss',
    'mse',
    'psnr',
    'codesUsed',
    'codebookUse',
    'perplexity',
    'deadCodes',
    'ssim',
    'softMse',
    'softHardGap',
    'reconstruction',
    'kl',
  ])
    assert.equal(typeof result[name], 'number', name);
  assert.match(stderr, /step 40: mse /);
  assert.deepEqual(
    readdirSync(join(whole, 'samples')).sort(),
    [0, 10, 20, 30, 40].map((n) => `step-${n}.png`).sort(),
  );

  const again = await train(whole, ['--resume']);
  assert.equal(again.code, 0, again.stderr);
  assert.equal(again.stdout, `${result.checkpoint}\n`);
});

describe('a run that was stopped and resumed equals an uninterrupted one', { concurrency: 2 }, () => {
  const compare = (run: string): void => {
    const last = (files: Record<string, string>) =>
      Object.fromEntries(Object.entries(files).filter(([file]) => !/^checkpoints\/step-(?!40\/)/.test(file)));
    assert.deepEqual(last(lasting(run)), last(lasting(whole)));
  };
  const resume = async (run: string): Promise<string> => {
    const { code, stderr } = await train(run, ['--resume']);
    assert.equal(code, 0, stderr);
    compare(run);
    return stderr;
  };

  test('after kill -9 before the first checkpoint, while one is written and just after one, and after Ctrl-C, which saves', async () => {
    const run = join(root, 'stopped');
    const metrics = join(run, 'metrics.jsonl');
    const folder = join(run, 'checkpoints');
    const has = (step: number): boolean => existsSync(join(folder, `step-${step}`));
    const kill = async (isThere: () => boolean, flags: string[]): Promise<string> => {
      const { code, stderr } = await trainAlone(run, flags, signalWhen('SIGKILL', isThere));
      assert.equal(code, null, stderr);
      return stderr;
    };
    await kill(() => existsSync(metrics) && statSync(metrics).size > 0, []);
    await kill(() => has(5) && readdirSync(folder).some((name) => name.endsWith('.tmp')), ['--resume']);
    assert.match(await kill(() => has(20), ['--resume']), / from step \d+\n/);

    const { code, stdout, stderr } = await trainAlone(
      run,
      ['--resume'],
      signalWhen('SIGINT', () => has(25)),
    );
    assert.match(stderr, / from step [23]\d\n/);
    assert.equal(code, EXIT.interrupted, stderr);
    assert.equal(stdout, '');
    const step = assertInterrupted(stderr, STEPS);
    assert.ok(existsSync(join(folder, `step-${step}`, 'state.json')));
    assert.match(await resume(run), new RegExp(` from step ${step}\\n`));
    assert.deepEqual(readdirSync(folder).sort(), ['step-35', 'step-40']);
  });

  test('with a damaged newest checkpoint, from the one before', async () => {
    const run = join(root, 'damaged');
    const { code } = await train(run, [
      '--set',
      'train.steps=15',
      '--set',
      'train.optimizer.learningRate.steps=40',
      '--set',
      'train.temperature.steps=40',
    ]);
    assert.equal(code, 0);
    writeFileSync(join(run, 'checkpoints', 'step-15', 'model.safetensors'), 'damaged');
    const { stderr } = await train(run, ['--resume']);
    assert.match(stderr, /^warning: .*step-15/m);
    assert.match(stderr, / from step 10\n/);
    const model = `checkpoints/step-${STEPS}/model.safetensors`;
    assert.equal(digests(run)[model], digests(whole)[model]);
  });
});

test('a run that diverges names the step and keeps its last checkpoint, from which it can be resumed', async () => {
  const run = join(root, 'diverging');
  const short = ['--set', 'train.steps=5'];
  assert.equal((await train(run, short)).code, 0);
  const good = digests(join(run, 'checkpoints'));
  const { code, stderr } = await train(run, ['--resume', '--set', 'train.optimizer.learningRate.peak=1e30']);
  assert.equal(code, EXIT.data, stderr);
  const [, step] = /^error: .* at step (\d+)\n/m.exec(stderr)!;
  assert.ok(Number(step) > 5);
  assert.match(stderr, / {2}fix: .*learningRate.*\n {2}code: E_DIVERGED\n/);
  assert.deepEqual(digests(join(run, 'checkpoints')), good);
  await readCheckpoint(run, { kind: 'dvae', optimizer: true, warn: assert.fail });
  const again = await train(run, ['--resume', '--set', 'train.steps=10']);
  assert.equal(again.code, 0, again.stderr);
});

describe('mistakes', () => {
  const fresh = join(root, 'never');
  const yaml = (name: string, text: string): string => {
    const path = join(root, `${name}.yaml`);
    writeFileSync(path, text);
    return path;
  };
  const filled = join(root, 'filled');
  const empty = join(root, 'empty');
  const broken = join(root, 'broken');
  const otherKind = join(root, 'other-kind');
  before(() => {
    for (const folder of [filled, empty, broken, otherKind]) mkdirSync(folder);
    writeFileSync(
      join(otherKind, 'config.yaml'),
      'data: {path: x, tokenizer: t}\nmodel: {embedding: 8}\ntrain: {steps: 1}\n',
    );
    writeFileSync(join(filled, 'notes.txt'), 'precious');
    for (const name of ['a', 'b']) writeFileSync(join(broken, `${name}.png`), 'not an image');
  });
  const base = `data: { path: ${data} }\nmodel: {}\ntrain:\n  steps: 2\n  batch: 2\n  optimizer: { learningRate: { peak: 1.0e-3 } }\n`;

  interface Case extends Omit<Refusal, 'flags'> {
    readonly flags?: string[];
    readonly config?: string;
    readonly run?: string;
  }
  const cases: Record<string, Case> = {
    'no data folder': {
      flags: ['--data', join(root, 'missing')],
      exit: EXIT.data,
      code: 'E_NOT_FOUND',
      at: 'missing',
    },
    'an empty data folder': { flags: ['--data', empty], exit: EXIT.data, code: 'E_NO_IMAGES', at: 'empty' },
    'images that are none': {
      flags: ['--data', broken],
      exit: EXIT.data,
      code: 'E_NO_USABLE_IMAGE',
      says: [/mm data check/],
    },
    'a key with a typing error': {
      config: yaml('typo', base.replace('steps:', 'stesp:')),
      exit: EXIT.usage,
      code: 'E_CONFIG_INVALID',
      says: [/typo\.yaml:4:3/, /did you mean steps/],
    },
    'a key that was renamed': {
      config: yaml('renamed', `${base}  averaging: { decay: 0.9 }\n`),
      exit: EXIT.usage,
      code: 'E_CONFIG_INVALID',
      at: 'renamed.yaml:7:3',
      says: [/train\.averaging .* train\.ema\n/],
    },
    'a value of the wrong type': {
      config: yaml('type', base.replace('steps: 2', 'steps: many')),
      exit: EXIT.usage,
      code: 'E_CONFIG_INVALID',
      at: 'type.yaml:4:10',
      says: [/train\.steps: .*received "many"/],
    },
    'a value out of range': {
      flags: ['--set', 'train.batch=0'],
      exit: EXIT.usage,
      code: 'E_CONFIG_INVALID',
      at: '--set train.batch=0',
      says: [/train\.batch: .*received 0/],
    },
    'a size that does not fit the groups': {
      flags: ['--set', 'model.imageSize=18'],
      exit: EXIT.usage,
      code: 'E_CONFIG_INVALID',
      says: [/multiple of 4/],
    },
    'YAML that is none': {
      config: yaml('syntax', 'train: [1, 2\n'),
      exit: EXIT.usage,
      code: 'E_CONFIG_SYNTAX',
      at: /syntax\.yaml:\d+:\d+/,
    },
    'no configuration file': {
      config: join(root, 'missing.yaml'),
      exit: EXIT.usage,
      code: 'E_CONFIG_FILE',
      at: 'missing.yaml',
    },
    'a seed below 0': {
      flags: ['--seed', '-1'],
      exit: EXIT.usage,
      code: 'E_OPTION_VALUE',
      at: '--seed',
      says: [/received -1/],
    },
    'an unknown flag': { flags: ['--stesp', '3'], exit: EXIT.usage, code: 'E_FLAG_UNKNOWN', at: '--stesp' },
    'an empty --run': { run: '', exit: EXIT.usage, code: 'E_OPTION_VALUE', at: '--run' },
    'a run folder with other files in it': {
      run: filled,
      exit: EXIT.usage,
      code: 'E_RUN_FOLDER_NOT_EMPTY',
      at: 'filled',
      says: [/--resume/],
    },
    'a run folder that is a file': { run: config, exit: EXIT.usage, code: 'E_RUN_FOLDER_IS_FILE' },
    'a run that is not there to resume': {
      flags: ['--resume'],
      exit: EXIT.usage,
      code: 'E_NO_RUN_TO_RESUME',
      at: 'never',
    },
    'another model section than the resumed run’s': {
      run: whole,
      flags: ['--resume', '--set', 'model.hiddenChannels=16'],
      exit: EXIT.usage,
      code: 'E_RESUME_CONFIG',
      at: /whole.config\.yaml/,
      says: [/model/],
    },
    'a run of another model to resume': {
      run: otherKind,
      flags: ['--resume'],
      exit: EXIT.usage,
      code: 'E_RUN_KIND',
      at: /other-kind.config\.yaml/,
      says: [/mm train-dvae/],
    },
    'devices of two kinds': {
      flags: ['--devices', 'cpu:0,1'],
      exit: EXIT.usage,
      code: 'E_DEVICES',
      at: '--devices',
    },
    'a batch that three devices cannot share equally': {
      flags: ['--devices', 'cpu:0,cpu:1,cpu:2'],
      exit: EXIT.usage,
      code: 'E_BATCH_NOT_DIVISIBLE',
      at: '--devices',
      says: [/train\.batch 4 .* 3 devices/],
    },
    'NCCL between parts of a processor': {
      flags: ['--devices', 'cpu:0,cpu:1', '--set', 'train.allReduce=nccl'],
      exit: EXIT.usage,
      code: 'E_ALL_REDUCE',
      at: 'train.allReduce',
    },
    'another seed than the resumed run’s': {
      run: whole,
      flags: ['--resume', '--seed', '4'],
      exit: EXIT.usage,
      code: 'E_RESUME_CONFIG',
      says: [/seed/],
    },
  };
  testRefusals(
    Object.fromEntries(
      Object.entries(cases).map(([name, { flags = [], config: file = config, run = fresh, ...refusal }]) => [
        name,
        { ...refusal, flags: ['train-dvae', '--config', file, '--run', run, ...flags] },
      ]),
    ),
  );

  test('no refused command writes or changes anything', async () => {
    assert.ok(!existsSync(fresh));
    assert.deepEqual(readdirSync(filled), ['notes.txt']);
    assert.match(readFileSync(join(whole, 'config.yaml'), 'utf8'), /hiddenChannels: 8\n/);
  });
});

test('without the library, mm train-dvae asks for mm setup and leaves no run folder', async () => {
  const run = join(root, 'later');
  await asksForSetup(['train-dvae', '--config', config, '--run', run], join(root, 'empty-cache'));
  assert.ok(!existsSync(run));
});
