import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { EXIT } from '../../src/util/errors.ts';
import { signalWhen } from '../support/interruption.ts';
import { mm } from '../support/mm.ts';
import { type Refusal, testRefusals } from '../support/refusal.ts';
import { tinyDalle } from '../support/tiny-dalle.ts';
import { TINY, writeTinyDvae } from '../support/tiny-dvae.ts';
import { digests, lasting, writeTokenizer } from '../support/tiny-runs.ts';

const STEPS = 40;

const { root, path, dvae, tokenizer, config, train } = tinyDalle('train-dalle', STEPS);
const tokens = join(root, 'tokens');
const whole = join(root, 'whole');
const model = `checkpoints/step-${STEPS}/model.safetensors`;

test('prints where the checkpoint is; with --json the losses too; it carries the dVAE and the tokenizer', async () => {
  const { code, stdout, stderr } = await train(whole, ['--json']);
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

test('tokens made before give the same weights as the images', async () => {
  const made = await mm(['tokenize', '--data', path, '--dvae', dvae, '--out', tokens, '--shard-size', '5']);
  assert.equal(made.code, 0, made.stderr);
  // The flag takes the place of the configuration's data.path.
  const run = join(root, 'from-tokens');
  const { code, stderr } = await train(run, ['--tokens', tokens]);
  assert.equal(code, 0, stderr);
  assert.equal(digests(run)[model], digests(whole)[model]);
});

describe('a run that is stopped goes on to be the same', { concurrency: 2 }, () => {
  const last = (files: Record<string, string>) =>
    Object.fromEntries(Object.entries(files).filter(([file]) => !/^checkpoints\/step-(?!40\/)/.test(file)));
  const goOn = async (run: string): Promise<string> => {
    const { code, stderr } = await train(run, ['--resume']);
    assert.equal(code, 0, stderr);
    assert.deepEqual(last(lasting(run)), last(lasting(whole)));
    return stderr;
  };

  test('after kill -9, just after a checkpoint', async () => {
    const run = join(root, 'killed');
    const isThere = (): boolean => existsSync(join(run, 'checkpoints', 'step-10'));
    assert.equal((await train(run, [], signalWhen('SIGKILL', isThere))).code, null);
    assert.match(await goOn(run), /going on from step [123]\d/);
    assert.deepEqual(readdirSync(join(run, 'checkpoints')).sort(), ['step-35', 'step-40']);
  });

  test('after Ctrl-C, which saves', async () => {
    const run = join(root, 'interrupted');
    const isThere = (): boolean => existsSync(join(run, 'checkpoints', 'step-5'));
    const { code, stdout, stderr } = await train(run, [], signalWhen('SIGINT', isThere));
    assert.equal(code, EXIT.interrupted, stderr);
    assert.equal(stdout, '');
    const [, step] =
      /error: stopped at step (\d+) of 40\n {2}at: {2}.*step-\1\n {2}fix: go on with --resume/.exec(stderr)!;
    assert.match(await goOn(run), new RegExp(`going on from step ${step}\\n`));
  });
});

test('a run that diverges names the step and keeps its last checkpoint', async () => {
  const run = join(root, 'diverging');
  assert.equal((await train(run, ['--set', 'train.steps=5'])).code, 0);
  const good = digests(join(run, 'checkpoints'));
  const { code, stderr } = await train(run, ['--resume', '--set', 'train.optimizer.learningRate.peak=1e38']);
  assert.equal(code, EXIT.data, stderr);
  assert.match(
    stderr,
    /^error: the (loss is|weights are) not finite at step \d+; the first tensor that is not: .*; the batch: .*\n.*\n {2}fix: .*learningRate/m,
  );
  assert.deepEqual(digests(join(run, 'checkpoints')), good);
});

test('--truncate cuts captions that are too long, and counts them', async () => {
  const flags = ['--truncate', '--set', 'model.textLength=2', '--set', 'train.steps=1'];
  const { code, stderr } = await train(join(root, 'cut'), flags);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /13 captions are longer than 2 tokens and will be cut/);
});

describe('what cannot be done is one error that says what, where and the fix', () => {
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
    rmSync(join(bare, 'a', '000.txt'));
    mkdirSync(empty);
    cpSync(whole, resumed, { recursive: true });
    await writeTokenizer(otherTokenizer, otherCaptions);
    writeFileSync(join(root, 'broken.json'), '{');
  });

  const cases: Record<string, Omit<Refusal, 'flags'> & { flags: string[]; run?: string }> = {
    'no data folder': { flags: ['--data', join(root, 'missing')], code: EXIT.data, says: [/no such folder/] },
    'an empty data folder': { flags: ['--data', empty], code: EXIT.data, says: [/the folder is empty/] },
    'an image without a caption': {
      flags: ['--data', bare],
      code: EXIT.data,
      says: [/1 of 14 images have no caption/, /a.000\.png/],
    },
    'fewer images than a batch': {
      flags: ['--set', 'train.batch=100'],
      code: EXIT.data,
      says: [/fewer than one batch of 100/],
    },
    'captions that are too long': {
      flags: ['--set', 'model.textLength=2'],
      code: EXIT.data,
      says: [/longer than model\.textLength 2/, /data\.truncateCaptions/],
    },
    'images and tokens': {
      flags: ['--data', path, '--tokens', tokens],
      code: EXIT.usage,
      says: [/mutually exclusive|either/],
    },
    'neither images nor tokens': {
      flags: ['--set', 'data.path=null'],
      code: EXIT.usage,
      says: [/give either path or tokens/],
    },
    'no dVAE': { flags: ['--dvae', join(root, 'missing')], code: EXIT.data, says: [/no such checkpoint/] },
    'a DALL·E as the dVAE': {
      flags: ['--dvae', whole],
      code: EXIT.data,
      says: [/a dalle checkpoint, where one of a dvae is needed/, /mm train-dvae/],
    },
    'a damaged dVAE': {
      flags: ['--dvae', damagedDvae],
      code: EXIT.data,
      says: [/not as it was written/, /model\.safetensors/],
    },
    'a dVAE of another grid': {
      flags: ['--dvae', join(root, 'fine-dvae')],
      code: EXIT.usage,
      says: [/model\.grid is 4, the dVAE's is 8/, /set model\.grid to 8/],
    },
    'a dVAE of another vocabulary': {
      flags: ['--dvae', join(root, 'rich-dvae')],
      code: EXIT.usage,
      says: [/model\.imageVocabulary is 24, the dVAE's is 30/],
    },
    'tokens of another dVAE': {
      flags: ['--tokens', tokens, '--dvae', otherDvae],
      code: EXIT.data,
      says: [/the tokens were made with dVAE \w+, and this is dVAE \w+/, /mm tokenize/],
    },
    'no tokenizer': {
      flags: ['--tokenizer', join(root, 'missing.json')],
      code: EXIT.data,
      says: [/no such tokenizer/, /mm train-bpe/],
    },
    'a tokenizer that is none': {
      flags: ['--tokenizer', join(root, 'broken.json')],
      code: EXIT.data,
      says: [/the tokenizer cannot be read/],
    },
    'a tokenizer with more entries than the model': {
      flags: ['--set', 'model.textVocabulary=100'],
      code: EXIT.usage,
      says: [/model\.textVocabulary is 100/, /set model\.textVocabulary to at least 26\d/],
    },
    'a width that is no multiple of the heads': {
      flags: ['--set', 'model.width=15'],
      code: EXIT.usage,
      says: [/must be a multiple of heads \(2\); received 15/, /--set model\.width=15/],
    },
    'a kind of attention with a typing error': {
      flags: ['--set', 'model.attention=[row, colum]'],
      code: EXIT.usage,
      says: [/did you mean `column`/],
    },
    'a run that is not there to resume': {
      flags: ['--resume'],
      code: EXIT.usage,
      says: [/no run to resume/],
    },
    'another model section than the resumed run’s': {
      run: whole,
      flags: ['--resume', '--set', 'model.layers=3'],
      code: EXIT.usage,
      says: [/model differs from the run that is resumed/],
    },
    'another dVAE than the resumed run’s': {
      run: resumed,
      flags: ['--resume', '--dvae', otherDvae],
      code: EXIT.usage,
      says: [/the run that is resumed has another dVAE/, /other-dvae/],
    },
    'another tokenizer than the resumed run’s': {
      run: resumed,
      flags: ['--resume', '--tokenizer', otherTokenizer],
      code: EXIT.usage,
      says: [/the run that is resumed has another tokenizer/, /other\.json/],
    },
    'a run folder that is in use, said before any data is read': {
      run: whole,
      flags: ['--data', 'nowhere', '--dvae', 'nowhere'],
      code: EXIT.usage,
      says: [/not empty/, /--resume/],
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

  test('and nothing was written', () => {
    assert.ok(!existsSync(fresh));
  });
});
