import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Faults } from '../../../src/data/sources/faults.ts';
import { readImages } from '../../../src/data/sources/resolve.ts';
import { splitExamples } from '../../../src/data/split.ts';
import { readTrainingImages } from '../../../src/data/training-source.ts';
import { keepingLogger, temporaryFolder, write } from '../../support/images.ts';

const root = await temporaryFolder();
const at = (name: string): string => join(root, name);
for (let i = 0; i < 40; i++) {
  await write(at(`a/photos/${i}.png`), '');
  await write(at(`b/photos/${i}.png`), '');
}
await write(at('held/x.png'), '');
const ignore = { captions: 'ignore' } as const;

test('several sources are one after the other, with keys that keep apart', async () => {
  const images = await readImages(`${at('a/photos')}::${at('b/photos')}::${at('held')}`, ignore);
  assert.equal(new Set(images.map(({ key }) => key)).size, 81);
  assert.deepEqual(
    [images[0], images[40], images[80]].map((image) => image!.key),
    ['photos/0', 'photos-2/0', 'held/x'],
  );
});

test('a weight repeats the training images of its source, with different keys, and no held-out ones', async () => {
  const path = `${at('a/photos')}::${at('b/photos')}`;
  const images = await readTrainingImages({ path, weights: [2.5, 0.5] }, ignore);
  const { training, heldOut } = splitExamples(images, 0.2);
  const keys = training.map(({ key }) => key);
  assert.equal(new Set(keys).size, keys.length);
  const plain = splitExamples(await readTrainingImages({ path }, ignore), 0.2);
  assert.deepEqual(
    heldOut.map(({ key }) => key),
    plain.heldOut.map(({ key }) => key),
  );
  const held = new Set(heldOut.map(({ key }) => key));
  assert.ok(keys.every((key) => !held.has(key.replace(/#\d$/, ''))));
  const times = (prefix: string): number => keys.filter((key) => key.startsWith(prefix)).length;
  const single = (prefix: string): number =>
    plain.training.filter(({ key }) => key.startsWith(prefix)).length;
  assert.ok(times('photos/') >= 2 * single('photos/') && times('photos/') <= 3 * single('photos/'));
  assert.ok(times('photos/') > 2.2 * single('photos/') && times('photos/') < 2.8 * single('photos/'));
  assert.ok(times('photos-2/') > 0.2 * single('photos-2/') && times('photos-2/') < 0.8 * single('photos-2/'));
  await assert.rejects(readTrainingImages({ path, weights: [1] }, ignore), { code: 'E_WEIGHTS' });
});

test('a validation source is held out, and all of the other is for training', async () => {
  const images = await readTrainingImages({ path: at('a/photos'), validationPath: at('held') }, ignore);
  const { training, heldOut } = splitExamples(images, 0.5);
  assert.equal(training.length, 40);
  assert.deepEqual(
    heldOut.map(({ key }) => key),
    ['x'],
  );
});

test('Karpathy’s splits are taken as they are: restval is for training, test is left out', async () => {
  const image = (filename: string, split: string) => ({
    filename,
    filepath: 'val2014',
    split,
    sentences: [{ raw: `${split} one` }, { raw: 'two' }],
  });
  const all = ['train', 'restval', 'val', 'test', 'train'].map((split, i) => image(`${i}.jpg`, split));
  await write(at('dataset_coco.json'), JSON.stringify({ dataset: 'coco', images: all }));
  await write(at('val2014/0.jpg'), '');
  const faults = new Faults();
  const images = await readTrainingImages(
    { path: at('dataset_coco.json') },
    { captions: 'required', faults },
  );
  const { training, heldOut } = splitExamples(images, 0.9);
  assert.deepEqual(
    training.map(({ key }) => key),
    ['val2014/0', 'val2014/1', 'val2014/4'],
  );
  assert.deepEqual(
    heldOut.map(({ key, captions }) => [key, captions]),
    [['val2014/2', ['val one', 'two']]],
  );
  assert.equal(faults.count('test-split'), 1);
  // Other commands take all of them.
  assert.equal((await readImages(at('dataset_coco.json'), { captions: 'required' })).length, 5);
});

test('what is left out is said once by kind, with an example; more than maxBad of it is an error', async () => {
  for (let i = 0; i < 9; i++) {
    await write(at(`mixed/${i}.png`), '');
    if (i > 0) await write(at(`mixed/${i}.txt`), 'a caption');
  }
  await write(at('mixed/._0.txt'), '');
  await write(at('mixed/notes.md'), '');
  const { log, lines } = keepingLogger();
  const required = { captions: 'required' } as const;
  const faults = new Faults(log);
  assert.equal((await readImages(at('mixed'), { ...required, faults })).length, 8);
  assert.deepEqual(lines, [
    `1 hidden file, whose name or folder begins with a dot, such as ${at('mixed/._0.txt')}`,
    `1 other file, such as ${at('mixed/notes.md')}`,
    `1 image without a caption, such as ${at('mixed/0.png')}`,
  ]);
  faults.summarize();
  assert.deepEqual(lines.slice(3), [
    `left out in all: 1 image without a caption, such as ${at('mixed/0.png')}`,
  ]);
  const strict = new Faults(log, { maxBad: 0.1 });
  await assert.rejects(readImages(at('mixed'), { ...required, faults: strict }), {
    code: 'E_TOO_MANY_FAULTS',
  });
  const lenient = new Faults(log, { maxBad: 0.12 });
  assert.equal((await readImages(at('mixed'), { ...required, faults: lenient })).length, 8);
});
