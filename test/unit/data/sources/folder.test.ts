import assert from 'node:assert/strict';
import { chmod, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { readFolder } from '../../../../src/data/sources/folder.ts';
import { DataError } from '../../../../src/util/errors.ts';
import { keepingLogger, temporaryFolder, write } from '../../../support/images.ts';

const isRoot = process.getuid?.() === 0;

test('images of all endings, flat and nested, by key, with their captions', async () => {
  const folder = await temporaryFolder();
  for (const name of [
    'b/two.PNG',
    'a.jpg',
    'b/c/three.webp',
    'four.jpeg',
    'five.tiff',
    'six.gif',
    'seven.avif',
  ])
    await write(join(folder, name), '');
  await write(join(folder, 'a.txt'), '\uFEFF a red circle \r\n');
  await write(join(folder, 'b/two.txt'), '\n\ntwo red circles\na pair of them\n');
  await write(join(folder, 'notes.md'), 'not an image');
  await write(join(folder, 'alone.txt'), 'a caption without an image does no harm');
  const images = await readFolder(folder, { captions: 'optional' });
  assert.deepEqual(
    images.map(({ key }) => key),
    ['a', 'b/c/three', 'b/two', 'five', 'four', 'seven', 'six'],
  );
  assert.deepEqual(images[0], { key: 'a', path: join(folder, 'a.jpg'), caption: 'a red circle' });
  assert.equal(images[2]!.caption, 'two red circles');
  assert.equal(images[1]!.caption, undefined);
});

test('hidden files and folders are passed over, links to files are followed', async () => {
  const folder = await temporaryFolder();
  for (const name of ['.hidden/a.png', '._a.png', 'real/b.png']) await write(join(folder, name), '');
  await symlink(join(folder, 'real/b.png'), join(folder, 'link.png'));
  const images = await readFolder(folder, { captions: 'ignore' });
  assert.deepEqual(
    images.map(({ key }) => key),
    ['link', 'real/b'],
  );
});

test('the path may end with a slash or go through dots', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'sub/a.png'), '');
  for (const path of [`${folder}/`, `${folder}/sub/..`])
    assert.equal((await readFolder(path, { captions: 'ignore' }))[0]!.key, 'sub/a');
});

test('no folder, a file, an empty folder and one without images are errors that say so', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'file'), '');
  await mkdir(join(folder, 'empty'));
  await write(join(folder, 'texts/a.txt'), 'a red circle');
  const cases: [string, RegExp][] = [
    ['missing', /no such folder/],
    ['file', /file, not a folder/],
    ['empty', /empty/],
    ['texts', /none of the 1 files is an image/],
  ];
  for (const [name, message] of cases)
    await assert.rejects(readFolder(join(folder, name), { captions: 'ignore' }), (error: DataError) => {
      assert.ok(error instanceof DataError && error.where && error.fix);
      assert.match(error.message, message);
      return true;
    });
});

test('two images of one key are refused', async () => {
  const folder = await temporaryFolder();
  for (const name of ['a.png', 'a.jpg']) await write(join(folder, name), '');
  await assert.rejects(readFolder(folder, { captions: 'ignore' }), /share a name: a\.(png|jpg), a\./);
});

test('required captions: images without one are faults, and without a list of faults an error', async () => {
  const folder = await temporaryFolder();
  for (const name of ['a.png', 'b.png', 'c.png']) await write(join(folder, name), '');
  await write(join(folder, 'a.txt'), 'a red circle');
  await write(join(folder, 'b.txt'), ' \n\n');
  const { log } = keepingLogger();
  const faults = new Faults(log);
  const images = await readFolder(folder, { captions: 'required', faults });
  assert.deepEqual(
    images.map(({ key }) => key),
    ['a'],
  );
  assert.deepEqual(faults.all, [
    { path: join(folder, 'b.png'), reason: 'its caption is empty' },
    { path: join(folder, 'c.png'), reason: 'it has no caption' },
  ]);
  await assert.rejects(readFolder(folder, { captions: 'required' }), /2 of 3 images have no caption/);
});

test('required captions and none there is an error', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'a.png'), '');
  const faults = new Faults(keepingLogger().log);
  await assert.rejects(readFolder(folder, { captions: 'required', faults }), /1 of 1 images have no caption/);
});

test('a caption or a folder that may not be read is an error', { skip: isRoot }, async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'a.png'), '');
  await write(join(folder, 'a.txt'), 'a red circle');
  await chmod(join(folder, 'a.txt'), 0);
  await assert.rejects(readFolder(folder, { captions: 'optional' }), /caption cannot be read \(EACCES\)/);
  await mkdir(join(folder, 'shut'), { mode: 0 });
  await assert.rejects(readFolder(folder, { captions: 'ignore' }), /folder cannot be read \(EACCES\)/);
});
