// mm train-dalle as a user calls it.

import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { EXIT } from '../../src/util/errors.ts';
import { assertInterrupted, signalWhen } from '../support/interruption.ts';
import { mmTogether } from '../support/mm-each.ts';
import { type Refusal, testRefusals } from '../support/refusal.ts';
import { tinyDalle } from '../support/tiny-dalle.ts';
import { TINY, writeTinyDvae } from '../support/tiny-dvae.ts';
import { digests, lasting, writeTokenizer } from '../support/tiny-runs.ts';

const STEPS = 40;

const mm = mmTogether();
const { root, path, dvae, tokenizer, config, train, trainAlone } = tinyDalle('train-dalle', STEPS);
const tokens = join(root, 'tokens');
const whole = join(root, 'whole');
const model = `checkpoints/step-${STEPS}/model.safetensors`;

test('a run prints its checkpoint, with --json its losses too; the checkpoint has the dVAE and the tokenizer', async () => {
  const { code, stdout, stderr } = await trainAlone(whole, ['--json']);
  assert.equal(code, 0, stderr);
  const result = JSON.parse(stdout) as Record<string, unknown>;
  const checkpoint = join(whole, 'checkpoints', `step-${STEPS}`);
  assert.equal(result.checkpoint, checkpoint);
  assert.equal(result.steps, STEPS);
  for (const name of ['seconds', 'firstLoss', 'lastLoss', 'loss', 'textLoss', 'imageLoss'])
    assert.equal(typeof result[name], 'number', name);
  assert.match(stderr, /step 40: loss /);
  const carried = await (await readCheckpoint(whole, { kind: 'dalle', warn: assert.fail })).dvae();
  assert.deepEqual(
    await carried.read('model'),
    await (await readCheckpoint(dvae, { kind: 'dvae', warn: assert.fail })).read('model'),
  );
  assert.deepEqual(
    JSON.parse(readFileSync(join(checkpoint, 'tokenizer.json'), 'utf8')),
    JSON.parse(readFileSync(tokenizer, 'utf8')),
  );

  const again = await train(whole, ['--resume']);
  assert.equal(again.code, 0, again.stderr);
  assert.equal(again.stdout, `${checkpoint}\n`);
});

test('a configuration leaves out the sizes of its parts, and what memory decides; the run says both', async () => {
  const left = ['model.textVocabulary', 'model.grid', 'model.imageVocabulary', 'train.recompute'];
  const run = join(root, 'sizes-left-out');
  const { code, stderr } = await train(
    run,
    left.flatMap((key) => ['--set', `${key}=null`]),
  );
  assert.equal(code, 0, stderr);
  assert.match(stderr, /train\.recompute: none; /);
  assert.equal(digests(run)[model], digests(whole)[model]);
  const configs = [whole, run].map((folder) => readFileSync(join(folder, 'config.yaml'), 'utf8'));
  assert.equal(configs[1], configs[0]);
});

test('tokens made before give the same weights as the images', async () => {
  const made = await mm(['tokenize', '--data', path, '--dvae', dvae, '--out', tokens, '--shard-size', '5']);
  assert.equal(made.code, 0, made.stderr);
  // The flag overrides data.path of the configuration.
  const run = join(root, 'from-tokens');
  const { code, stderr } = await train(run, ['--tokens', tokens]);
  assert.equal(code, 0, stderr);
  assert.equal(digests(run)[model], digests(whole)[model]);
});

test('a run that was stopped and resumed equals an uninterrupted one: after kill -9, and after Ctrl-C, which saves', async () => {
  const run = join(root, 'stopped');
  const has = (step: number) => (): boolean => existsSync(join(run, 'checkpoints', `step-${step}`));
  assert.equal((await trainAlone(run, [], signalWhen('SIGKILL', has(10)))).code, null);
  const { code, stdout, stderr } = await trainAlone(run, ['--resume'], signalWhen('SIGINT', has(20)));
  assert.match(stderr, / from step [123]\d\n/);
  assert.equal(code, EXIT.interrupted, stderr);
  assert.equal(stdout, '');
  const step = assertInterrupted(stderr, STEPS);
  const ended = await train(run, ['--resume']);
  assert.equal(ended.code, 0, ended.stderr);
  assert.match(ended.stderr, new RegExp(` from step ${step}\\n`));
  const last = (files: Record<string, string>) =>
    Object.fromEntries(Object.entries(files).filter(([file]) => !/^checkpoints\/step-(?!40\/)/.test(file)));
  assert.deepEqual(last(lasting(run)), last(lasting(whole)));
  assert.deepEqual(readdirSync(join(run, 'checkpoints')).sort(), ['step-35', 'step-40']);
});

test('a run that diverges names the step and keeps its last checkpoint', async () => {
  const run = join(root, 'diverging');
  assert.equal((await train(run, ['--set', 'train.steps=5'])).code, 0);
  const good = digests(join(run, 'checkpoints'));
  const { code, stderr } = await train(run, ['--resume', '--set', 'train.optimizer.learningRate.peak=1e38']);
  assert.equal(code, EXIT.data, stderr);
  assert.match(stderr, /^error: .* at step \d+; .*tensor.*: .*; .*batch.*: .*\n/m);
  assert.match(stderr, / {2}fix: .*learningRate.*\n {2}code: E_DIVERGED\n/);
  assert.deepEqual(digests(join(run, 'checkpoints')), good);
});

test('--truncate cuts captions that are too long, and counts them', async () => {
  const flags = ['--truncate', '--set', 'model.textLength=2', '--set', 'train.steps=1'];
  const { code, stderr } = await train(join(root, 'cut'), flags);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /13 captions .* 2 tokens/);
});

describe('mistakes', () => {
  const fresh = join(root, 'never');
  const otherDvae = join(root, 'other-dvae');
  const otherTokenizer = join(root, 'other.json');
  const resumed = join(root, 'resumed');
  const damagedDvae = join(root, 'damaged-dvae');
  const bare = join(root, 'bare');
  const empty = join(root, 'empty');
  before(async () => {
    await writeTinyDvae(otherDvae, 2);
    await writeTinyDvae(join(root, 'fine-dvae'), 1, { ...TINY, groups: 2 });
    await writeTinyDvae(join(root, 'rich-dvae'), 1, { ...TINY, vocabulary: 30 });
    cpSync(dvae, damagedDvae, { recursive: true });
    const weights = join(damagedDvae, 'model.safetensors');
    const bytes = readFileSync(weights);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(weights, bytes);
    cpSync(path, bare, { recursive: true });
    const otherCaptions = join(root, 'other-captions');
    cpSync(path, otherCaptions, { recursive: true });
    for (const name of ['000', '002', '004'])
      writeFileSync(join(otherCaptions, 'a', `${name}.txt`), 'an elephant\n');
    for (const name of readdirSync(bare, { recursive: true }) as string[])
      if (name.endsWith('.txt')) rmSync(join(bare, name));
    mkdirSync(empty);
    cpSync(whole, resumed, { recursive: true });
    await writeTokenizer(otherTokenizer, otherCaptions);
    writeFileSync(join(root, 'broken.json'), '{');
  });

  type Case = Omit<Refusal, 'flags'> & { flags: string[]; run?: string };
  const data = (code: Refusal['code'], flags: string[], ...says: RegExp[]): Case => ({
    flags,
    exit: EXIT.data,
    code,
    says,
  });
  const usage = (code: Refusal['code'], flags: string[], ...says: RegExp[]): Case => ({
    flags,
    exit: EXIT.usage,
    code,
    says,
  });
  const set = (...settings: string[]): string[] => settings.flatMap((setting) => ['--set', setting]);
  const cases: Record<string, Case> = {
    'no data folder': data('E_NOT_FOUND', ['--data', join(root, 'missing')], /missing\n/),
    'an empty data folder': data('E_NO_IMAGES', ['--data', empty], /empty\n/),
    'images without captions': data('E_NO_CAPTION', ['--data', bare], /14 of 14/, /a.000\.png/),
    'fewer images than a batch': data('E_TOO_FEW_IMAGES', set('train.batch=100'), /100/),
    'captions that are too long': data(
      'E_CAPTION_TOO_LONG',
      set('model.textLength=2'),
      / 2 .*model\.textLength/,
      /data\.truncateCaptions/,
    ),
    'images and tokens': usage(
      'E_FLAG_CONFLICT',
      ['--data', path, '--tokens', tokens],
      /--data and --tokens/,
    ),
    'neither images nor tokens': usage('E_CONFIG_INVALID', set('data.path=null'), /path or tokens/),
    'no dVAE': data('E_CHECKPOINT_NOT_FOUND', ['--dvae', join(root, 'missing')], /missing\n/),
    'a DALL·E as the dVAE': data('E_CHECKPOINT_KIND', ['--dvae', whole], /dalle.* dvae/, /mm train-dvae/),
    'a damaged dVAE': data('E_CHECKPOINT_DAMAGED', ['--dvae', damagedDvae], /model\.safetensors/),
    'a dVAE of another grid': usage(
      'E_DVAE_MISMATCH',
      ['--dvae', join(root, 'fine-dvae')],
      /model\.grid .*4, .* 8/,
      /model\.grid, or set it to 8/,
    ),
    'a dVAE of another vocabulary': usage(
      'E_DVAE_MISMATCH',
      ['--dvae', join(root, 'rich-dvae')],
      /model\.imageVocabulary .*24, .* 30/,
    ),
    'tokens of another dVAE': data(
      'E_DVAE_DIFFERS',
      ['--tokens', tokens, '--dvae', otherDvae],
      /\w{8,}.* \w{8,}/,
      /mm tokenize/,
    ),
    'no tokenizer': data(
      'E_NOT_FOUND',
      ['--tokenizer', join(root, 'missing.json')],
      /missing\.json/,
      /tokenizer\.json/,
    ),
    'a tokenizer that is none': data(
      'E_TOKENIZER_UNUSABLE',
      ['--tokenizer', join(root, 'broken.json')],
      /broken\.json/,
    ),
    'a tokenizer with more entries than the model': usage(
      'E_VOCABULARY_TOO_SMALL',
      set('model.textVocabulary=100'),
      /model\.textVocabulary.* 100/,
      /at least 26\d/,
    ),
    'a width that is no multiple of the heads': {
      ...usage('E_CONFIG_INVALID', set('model.width=15'), /heads \(2\).* 15/),
      at: '--set model.width=15',
    },
    'a kind of attention with a typing error': usage(
      'E_CONFIG_INVALID',
      set('model.attention=[row, colum]'),
      /did you mean column/,
    ),
    'a run that is not there to resume': usage('E_NO_RUN_TO_RESUME', ['--resume']),
    'another model section than the resumed run’s': {
      ...usage('E_RESUME_CONFIG', ['--resume', '--set', 'model.layers=3'], /model\.layers is 3.* 2/),
      run: whole,
    },
    'another dVAE than the resumed run’s': {
      ...usage('E_RESUME_PART', ['--resume', '--dvae', otherDvae], /dVAE/, /other-dvae/),
      run: resumed,
    },
    'another tokenizer than the resumed run’s': {
      ...usage('E_RESUME_PART', ['--resume', '--tokenizer', otherTokenizer], /tokenizer/, /other\.json/),
      run: resumed,
    },
    'a run folder that is in use, said before any data is read': {
      ...usage('E_RUN_FOLDER_NOT_EMPTY', ['--data', 'nowhere', '--dvae', 'nowhere'], /--resume/),
      run: whole,
    },
  };
  testRefusals(
    Object.fromEntries(
      Object.entries(cases).map(([name, { flags, run = fresh, ...refusal }]) => [
        name,
        { ...refusal, flags: ['train-dalle', '--config', config, '--run', run, ...flags] },
      ]),
    ),
  );

  test('no refused command writes anything', () => {
    assert.ok(!existsSync(fresh));
  });
});
