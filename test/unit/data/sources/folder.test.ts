import assert from 'node:assert/strict';
import { chmod, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { readFolder } from '../../../../src/data/sources/folder.ts';
import { DataError } from '../../../../src/util/errors.ts';
import { keepingLogger, temporaryFolder, write } from '../../../support/images.ts';

const isRoot = process.getuid?.() === 0;

test('a folder gives images of all extensions, flat and nested, sorted by key, with their captions', async () => {
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
  assert.deepEqual(images[0], { key: 'a', path: join(folder, 'a.jpg'), captions: ['a red circle'] });
  assert.deepEqual(images[2]!.captions, ['two red circles', 'a pair of them']);
  assert.deepEqual(images[1]!.captions, []);
});

test('hidden files and folders are skipped, and links to files are followed', async () => {
  const folder = await temporaryFolder();
  for (const name of ['.hidden/a.png', '._a.png', 'real/b.png']) await write(join(folder, name), '');
  await symlink(join(folder, 'real/b.png'), join(folder, 'link.png'));
  const images = await readFolder(folder, { captions: 'ignore' });
  assert.deepEqual(
    images.map(({ key }) => key),
    ['link', 'real/b'],
  );
});

test('a path may end with a slash or contain dots', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'sub/a.png'), '');
  for (const path of [`${folder}/`, `${folder}/sub/..`])
    assert.equal((await readFolder(path, { captions: 'ignore' }))[0]!.key, 'sub/a');
});

test('a missing folder, a file, an empty folder and one without images are different errors', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'file'), '');
  await mkdir(join(folder, 'empty'));
  await write(join(folder, 'texts/a.txt'), 'a red circle');
  const cases: [string, string][] = [
    ['missing', 'E_NOT_FOUND'],
    ['file', 'E_NOT_A_FOLDER'],
    ['empty', 'E_NO_IMAGES'],
    ['texts', 'E_NO_IMAGES'],
  ];
  for (const [name, code] of cases) {
    const where = join(folder, name);
    await assert.rejects(readFolder(where, { captions: 'ignore' }), (error: DataError) => {
      assert.ok(error instanceof DataError && error.fix);
      assert.deepEqual([error.code, error.where], [code, where]);
      return true;
    });
  }
});

test('two images with one key are refused, and both are named', async () => {
  const folder = await temporaryFolder();
  for (const name of ['a.png', 'a.jpg']) await write(join(folder, name), '');
  await assert.rejects(
    readFolder(folder, { captions: 'ignore' }),
    (error: DataError) => error.code === 'E_DUPLICATE_KEY' && /a\.(png|jpg), a\./.test(error.message),
  );
});

test('with required captions, an image without one is a fault where faults are recorded, else an error', async () => {
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
  await assert.rejects(
    readFolder(folder, { captions: 'required' }),
    (error: DataError) =>
      error.code === 'E_NO_CAPTION' &&
      error.where === join(folder, 'b.png') &&
      error.message.startsWith('2 of 3 '),
  );
});

test('with required captions, a folder without any is an error', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'a.png'), '');
  const faults = new Faults(keepingLogger().log);
  await assert.rejects(
    readFolder(folder, { captions: 'required', faults }),
    (error: DataError) => error.code === 'E_NO_CAPTION' && error.message.startsWith('1 of 1 '),
  );
});

test('a caption or a folder without read permission is an error', { skip: isRoot }, async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'a.png'), '');
  await write(join(folder, 'a.txt'), 'a red circle');
  await chmod(join(folder, 'a.txt'), 0);
  await assert.rejects(readFolder(folder, { captions: 'optional' }), {
    code: 'E_NO_PERMISSION',
    where: join(folder, 'a.txt'),
  });
  await mkdir(join(folder, 'shut'), { mode: 0 });
  await assert.rejects(readFolder(folder, { captions: 'ignore' }), {
    code: 'E_NO_PERMISSION',
    where: join(folder, 'shut'),
  });
});
