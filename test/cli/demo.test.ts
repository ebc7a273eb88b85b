// The whole demo at a size that takes seconds: every stage, its result file, the images, and resuming.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import sharp from 'sharp';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';

const mm = mmTogether();
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mm-demo-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const tiny = (out: string): string[] => [
  'demo',
  ...['--out', out, '--images', '120', '--prompts', '2', '--candidates', '2', '--json'],
  ...[
    'model.hiddenChannels=8',
    'model.decoderInput=8',
    'train.steps=6',
    'train.evaluateEvery=3',
    'train.saveEvery=3',
  ].flatMap((set) => ['--dvae-set', set]),
  ...['train.warmStart.steps=10', 'train.warmStart.images=32'].flatMap((set) => ['--dvae-set', set]),
  ...['model.width=16', 'model.layers=2', 'model.heads=2', 'train.steps=5', 'train.evaluateEvery=5'].flatMap(
    (set) => ['--dalle-set', set],
  ),
  ...['train.optimizer.learningRate.warmup=2', 'train.samples.count=1'].flatMap((set) => [
    '--dalle-set',
    set,
  ]),
  ...['--dvae-set', 'train.optimizer.learningRate.warmup=2'],
  ...[
    'train.steps=4',
    'train.evaluateEvery=4',
    'train.batch=16',
    'train.optimizer.learningRate.warmup=2',
  ].flatMap((set) => ['--clip-set', set]),
];

test('the demo runs every stage, judges its samples, and repeats none of it', {
  timeout: 240_000,
}, async () => {
  const out = join(folder, 'demo');
  const first = await mmAlone(tiny(out));
  assert.equal(first.code, 0, first.stderr);
  const result = JSON.parse(await readFile(join(out, 'result.json'), 'utf8'));
  assert.deepEqual(Object.keys(result.stages), [
    'data',
    'train-bpe',
    'train-dvae',
    'tokenize',
    'train-dalle',
    'train-clip',
    'sample',
  ]);
  assert.equal(result.stages['train-dvae'].steps, 6);
  assert.ok(Number.isFinite(result.stages['train-dalle'].lastLoss));
  for (const kind of ['scenes', 'pairs']) {
    assert.equal(result.heldOut[kind].samples, 4);
    assert.ok(result.heldOut[kind].right >= 0 && result.heldOut[kind].right <= 4);
    assert.equal(result.ranked[kind].samples, 2);
    assert.ok(result.ranked[kind].right <= result.heldOut[kind].right);
  }
  assert.deepEqual(JSON.parse(first.stdout), result);
  assert.ok((await sharp(join(out, 'grid.png')).metadata()).width > 100);
  assert.match(await readFile(join(out, 'index.html'), 'utf8'), /held-out scenes right/);

  // Without its last stage it is an interrupted demo: it samples again, with the same result, and trains nothing.
  // Its file is one of before, when images were called pictures.
  const { sample: _sample, ...stages } = result.stages;
  const { images, ...rest } = result;
  await writeFile(join(out, 'result.json'), JSON.stringify({ ...rest, pictures: images, stages }));
  const second = await mm(tiny(out));
  assert.equal(second.code, 0, second.stderr);
  const again = JSON.parse(second.stdout);
  assert.deepEqual(again.heldOut, result.heldOut);
  assert.deepEqual(again.stages['train-dalle'], result.stages['train-dalle']);

  for (const flags of [['--seed', '1'], ['--quick']]) {
    const other = await mm([...tiny(out), ...flags]);
    assert.equal(other.code, 2);
    assert.match(
      other.stderr,
      /a demo of seed 0 with 120 .*\n.*at: .*\n.*--restart.*\n {2}code: E_DEMO_FOLDER\n$/,
    );
  }
});

test('a quick demo says that it is one, is resumed where it stopped, and is not mixed with a whole one', {
  timeout: 240_000,
}, async () => {
  const out = join(folder, 'quick');
  const stopped = await mm([...tiny(out), '--quick', '--dalle-set', 'train.batch=0']);
  assert.equal(stopped.code, 2, stopped.stderr);
  const left = JSON.parse(await readFile(join(out, 'result.json'), 'utf8'));
  assert.equal(left.quick, true);
  assert.match(left.note, /quick try.*rough/);
  assert.match(stopped.stderr, /a quick try/);
  assert.ok(left.stages.tokenize);

  const whole = await mm(tiny(out));
  assert.equal(whole.code, 2);
  assert.match(
    whole.stderr,
    /a quick demo of seed 0 .*\n.*at: .*\n.*--restart.*\n {2}code: E_DEMO_FOLDER\n$/,
  );

  const { code, stdout, stderr } = await mm([...tiny(out).filter((flag) => flag !== '--json'), '--quick']);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /a quick try/);
  const result = JSON.parse(await readFile(join(out, 'result.json'), 'utf8'));
  assert.deepEqual([result.quick, result.note], [true, left.note]);
  assert.deepEqual(result.stages.tokenize, left.stages.tokenize);
  assert.match(await readFile(join(out, 'index.html'), 'utf8'), /a quick try/);
});
