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
import { signalWhen } from '../support/interruption.ts';
import { mm } from '../support/mm.ts';
import { asksForSetup, type Refusal, testRefusals } from '../support/refusal.ts';
import { writeImages } from '../support/tiny-dvae.ts';
import { digests, dvaeConfig, lasting } from '../support/tiny-runs.ts';

const STEPS = 40;

const root = mkdtempSync(join(tmpdir(), 'mm-train-dvae-'));
const data = join(root, 'images');
const config = join(root, 'config.yaml');
const whole = join(root, 'whole');
const train = (run: string, flags: readonly string[] = [], watch?: ReturnType<typeof signalWhen>) =>
  mm(['train-dvae', '--config', config, '--run', run, ...flags], watch);

before(async () => {
  await writeImages(data, 14);
  writeFileSync(config, dumpConfig(dvaeConfig(data, 3, { steps: STEPS, evaluateEvery: 10, saveEvery: 5 })));
});
after(() => rmSync(root, { recursive: true }));

test('prints where the checkpoint is; with --json the losses and figures too', async () => {
  const { code, stdout, stderr } = await train(whole, ['--json']);
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

describe('a run that is stopped goes on to be the same', { concurrency: 2 }, () => {
  const compare = (run: string): void => {
    const last = (files: Record<string, string>) =>
      Object.fromEntries(Object.entries(files).filter(([file]) => !/^checkpoints\/step-(?!40\/)/.test(file)));
    assert.deepEqual(last(lasting(run)), last(lasting(whole)));
  };
  const goOn = async (run: string): Promise<string> => {
    const { code, stderr } = await train(run, ['--resume']);
    assert.equal(code, 0, stderr);
    compare(run);
    return stderr;
  };

  test('after kill -9, just after a checkpoint', async () => {
    const run = join(root, 'killed');
    const isThere = (): boolean => existsSync(join(run, 'checkpoints', 'step-10'));
    assert.equal((await train(run, [], signalWhen('SIGKILL', isThere))).code, null);
    assert.match(await goOn(run), /going on from step [123]\d/);
    assert.deepEqual(readdirSync(join(run, 'checkpoints')).sort(), ['step-35', 'step-40']);
  });

  test('after kill -9 while a checkpoint is written', async () => {
    const run = join(root, 'writing');
    const folder = join(run, 'checkpoints');
    const isThere = (): boolean =>
      existsSync(join(folder, 'step-5')) && readdirSync(folder).some((name) => name.endsWith('.tmp'));
    assert.equal((await train(run, [], signalWhen('SIGKILL', isThere))).code, null);
    await goOn(run);
    assert.deepEqual(readdirSync(folder).sort(), ['step-35', 'step-40']);
  });

  test('after kill -9 before the first checkpoint', async () => {
    const run = join(root, 'early');
    const metrics = join(run, 'metrics.jsonl');
    const isThere = (): boolean => existsSync(metrics) && statSync(metrics).size > 0;
    assert.equal((await train(run, [], signalWhen('SIGKILL', isThere))).code, null);
    await goOn(run);
  });

  test('after Ctrl-C, which saves', async () => {
    const run = join(root, 'interrupted');
    const isThere = (): boolean => existsSync(join(run, 'checkpoints', 'step-5'));
    const { code, stdout, stderr } = await train(run, [], signalWhen('SIGINT', isThere));
    assert.equal(code, EXIT.interrupted, stderr);
    assert.equal(stdout, '');
    const [, step] =
      /error: stopped at step (\d+) of 40\n {2}at: {2}.*step-\1\n {2}fix: go on with --resume/.exec(stderr)!;
    assert.ok(existsSync(join(run, 'checkpoints', `step-${step}`, 'state.json')));
    assert.match(await goOn(run), new RegExp(`going on from step ${step}\\n`));
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
    assert.match(stderr, /warning: passing over a damaged checkpoint: .*step-15/);
    assert.match(stderr, /going on from step 10/);
    const model = `checkpoints/step-${STEPS}/model.safetensors`;
    assert.equal(digests(run)[model], digests(whole)[model]);
  });
});

test('a run that diverges names the step, keeps its last checkpoint, and goes on from it', async () => {
  const run = join(root, 'diverging');
  const short = ['--set', 'train.steps=5'];
  assert.equal((await train(run, short)).code, 0);
  const good = digests(join(run, 'checkpoints'));
  const { code, stderr } = await train(run, ['--resume', '--set', 'train.optimizer.learningRate.peak=1e30']);
  assert.equal(code, EXIT.data, stderr);
  const [, step] = /^error: the (?:loss is|weights are) not finite at step (\d+)\n/m.exec(stderr)!;
  assert.ok(Number(step) > 5);
  assert.match(stderr, /fix: .*learningRate/);
  assert.deepEqual(digests(join(run, 'checkpoints')), good);
  await readCheckpoint(run, { kind: 'dvae', optimizer: true, warn: assert.fail });
  const again = await train(run, ['--resume', '--set', 'train.steps=10']);
  assert.equal(again.code, 0, again.stderr);
});

describe('what cannot be done is one error that says what, where and the fix', () => {
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
  const base = `data: { path: ${data} }\ntrain:\n  steps: 2\n  batch: 2\n  optimizer: { learningRate: { peak: 1.0e-3 } }\n`;

  interface Case extends Omit<Refusal, 'flags'> {
    readonly flags?: string[];
    readonly config?: string;
    readonly run?: string;
  }
  const cases: Record<string, Case> = {
    'no data folder': {
      flags: ['--data', join(root, 'missing')],
      code: EXIT.data,
      says: [/there is no such folder/, /missing/],
    },
    'an empty data folder': {
      flags: ['--data', empty],
      code: EXIT.data,
      says: [/the folder is empty/],
    },
    'images that are none': {
      flags: ['--data', broken],
      code: EXIT.data,
      says: [/none of the (held-out )?images can be read/, /mm data check/],
    },
    'a key with a typing error': {
      config: yaml('typo', base.replace('steps:', 'stesp:')),
      code: EXIT.usage,
      says: [/typo\.yaml:3:3/, /did you mean `steps`/],
    },
    'a value of the wrong type': {
      config: yaml('type', base.replace('steps: 2', 'steps: many')),
      code: EXIT.usage,
      says: [/type\.yaml:3:10/, /train\.steps: expected an integer.*received "many"/],
    },
    'a value out of range': {
      flags: ['--set', 'train.batch=0'],
      code: EXIT.usage,
      says: [/train\.batch: expected an integer, above 0, received 0/, /--set train\.batch=0/],
    },
    'a size that does not fit the groups': {
      flags: ['--set', 'model.imageSize=18'],
      code: EXIT.usage,
      says: [/multiple of 4/],
    },
    'YAML that is none': {
      config: yaml('syntax', 'train: [1, 2\n'),
      code: EXIT.usage,
      says: [/syntax\.yaml:\d+:\d+/],
    },
    'no configuration file': {
      config: join(root, 'missing.yaml'),
      code: EXIT.usage,
      says: [/no such configuration file/],
    },
    'a seed below 0': {
      flags: ['--seed', '-1'],
      code: EXIT.usage,
      says: [/seed: expected .*received -1/],
    },
    'an unknown flag': { flags: ['--stesp', '3'], code: EXIT.usage, says: [/stesp/] },
    'an empty --run': { run: '', code: EXIT.usage, says: [/--run is empty/] },
    'a run folder with other files in it': {
      run: filled,
      code: EXIT.usage,
      says: [/the run folder is not empty/, /filled/, /--resume/],
    },
    'a run folder that is a file': { run: config, code: EXIT.usage, says: [/is a file/] },
    'a run that is not there to resume': {
      flags: ['--resume'],
      code: EXIT.usage,
      says: [/there is no run to resume/, /never/],
    },
    'another model section than the resumed run’s': {
      run: whole,
      flags: ['--resume', '--set', 'model.hiddenChannels=16'],
      code: EXIT.usage,
      says: [/model differs from the run that is resumed/, /whole.config\.yaml/],
    },
    'a run of another model to resume': {
      run: otherKind,
      flags: ['--resume'],
      code: EXIT.usage,
      says: [/not one of mm train-dvae/, /other-kind.config\.yaml/],
    },
    'another seed than the resumed run’s': {
      run: whole,
      flags: ['--resume', '--seed', '4'],
      code: EXIT.usage,
      says: [/seed differs from the run that is resumed/],
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

  test('and nothing was written or changed', async () => {
    assert.ok(!existsSync(fresh));
    assert.deepEqual(readdirSync(filled), ['notes.txt']);
    assert.match(readFileSync(join(whole, 'config.yaml'), 'utf8'), /hiddenChannels: 8\n/);
  });
});

test('without the library: exit code 4, mm setup, and the run folder can be used when it is there', async () => {
  const run = join(root, 'later');
  await asksForSetup(['train-dvae', '--config', config, '--run', run], join(root, 'empty-cache'));
  assert.ok(!existsSync(run));
});
