import assert from 'node:assert/strict';
import { chmod, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { folderPart } from '../../../../src/data/sources/folder.ts';
import { readImages } from '../../../../src/data/sources/resolve.ts';
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
  const images = await readImages(folder, { captions: 'optional' });
  assert.deepEqual(
    images.map(({ key }) => key),
    ['a', 'b/c/three', 'b/two', 'five', 'four', 'seven', 'six'],
  );
  assert.deepEqual(images[0], {
    key: 'a',
    path: join(folder, 'a.jpg'),
    captions: ['a red circle'],
    captionFile: join(folder, 'a.txt'),
  });
  assert.deepEqual(images[2]!.captions, ['two red circles', 'a pair of them']);
  assert.deepEqual(images[1]!.captions, []);
});

test('hidden files and folders are left out and counted, and links to files are followed', async () => {
  const folder = await temporaryFolder();
  for (const name of ['.hidden/a.png', '._a.png', 'real/b.png']) await write(join(folder, name), '');
  await symlink(join(folder, 'real/b.png'), join(folder, 'link.png'));
  const faults = new Faults();
  const images = await readImages(folder, { captions: 'ignore', faults });
  assert.deepEqual(
    images.map(({ key }) => key),
    ['link', 'real/b'],
  );
  assert.equal(faults.count('hidden'), 2);
});

test('JPEGs of any extension and BMPs are images; other images and files are counted by kind', async () => {
  const folder = await temporaryFolder();
  for (const name of ['a.jpg', 'b.jfif', 'c.bmp', 'd.JPE', 'e.heic', 'f.psd', 'g.md'])
    await write(join(folder, name), '');
  const faults = new Faults();
  const images = await readImages(folder, { captions: 'ignore', faults });
  assert.equal(images.length, 4);
  assert.deepEqual(
    faults.counts.map(({ kind, count }) => [kind, count]),
    [
      ['image-ending', 2],
      ['other-file', 1],
    ],
  );
});

test('links to folders are followed, each folder once, whatever the links lead to', async () => {
  const folder = await temporaryFolder();
  for (const name of ['photos/a.png', 'photos/deep/b.png', 'store/c.png'])
    await write(join(folder, name), '');
  await symlink('../store', join(folder, 'photos/linked'));
  await symlink('../store', join(folder, 'photos/again'));
  await symlink('..', join(folder, 'photos/deep/cycle'));
  await symlink('nowhere', join(folder, 'photos/broken.png'));
  const faults = new Faults();
  const images = await readImages(join(folder, 'photos'), { captions: 'ignore', faults });
  assert.deepEqual(
    images.map(({ key }) => key),
    ['a', 'again/c', 'broken', 'deep/b'],
  );
  assert.equal(faults.count('link-again'), 2);
});

test('captions in another folder are matched by path below the first folder, then by file name', async () => {
  const folder = await temporaryFolder();
  for (const name of ['images/x/1.png', 'images/y/1.png', 'images/z/2.png', 'images/3.png', 'images/q/3.png'])
    await write(join(folder, name), '');
  for (const name of ['text/x/1', 'text/y/1', 'text/2', 'text/4', 'text/p/3'])
    await write(join(folder, `${name}.txt`), name);
  const faults = new Faults();
  const images = await readImages(folder, { captions: 'optional', faults });
  assert.deepEqual(
    images.map(({ key, captions }) => [key, ...captions]),
    [
      ['images/3'],
      ['images/q/3'],
      ['images/x/1', 'text/x/1'],
      ['images/y/1', 'text/y/1'],
      ['images/z/2', 'text/2'],
    ],
  );
  assert.deepEqual([faults.count('caption-elsewhere'), faults.count('orphan-caption')], [3, 2]);
});

test('a caption and its image meet whatever Unicode form their names have', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, `${'café'.normalize('NFD')}.png`), '');
  await write(join(folder, `${'café'.normalize('NFC')}.txt`), 'coffee');
  const [image] = await readImages(folder, { captions: 'required' });
  assert.deepEqual(image!.captions, ['coffee']);
});

test('captions are read in UTF-8 and UTF-16; other bytes are a fault of that caption', async () => {
  const folder = await temporaryFolder();
  const text = 'the child’s café';
  const bytes: Readonly<Record<string, Uint8Array>> = {
    a: Buffer.from(text),
    b: Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(text, 'utf16le')]),
    c: Buffer.concat([Buffer.from([0xfe, 0xff]), Buffer.from(text, 'utf16le').swap16()]),
    d: Buffer.from('the child\x92s caf\xe9', 'latin1'),
    e: Buffer.from('a\0b'),
  };
  for (const [name, caption] of Object.entries(bytes)) {
    await write(join(folder, `${name}.png`), '');
    await write(join(folder, `${name}.txt`), caption);
  }
  const faults = new Faults();
  const images = await readImages(folder, { captions: 'required', faults });
  assert.deepEqual(
    images.map(({ captions }) => captions),
    [[text], [text], [text]],
  );
  assert.deepEqual(
    faults.all.map(({ path }) => path),
    [join(folder, 'd.txt'), join(folder, 'e.txt')],
  );
});

test('an empty .txt gives way to .json, which may have a list of captions', async () => {
  const folder = await temporaryFolder();
  for (const name of ['a', 'b', 'c']) await write(join(folder, `${name}.png`), '');
  await write(join(folder, 'a.txt'), ' \n');
  await write(join(folder, 'a.json'), '{"caption":"a red square"}');
  await write(join(folder, 'b.json'), '{"caption":["a blue square","blue"]}');
  await write(join(folder, 'c.json'), '{"caption":null}');
  const images = await readImages(folder, { captions: 'optional' });
  assert.deepEqual(
    images.map(({ captions, lack }) => [captions, lack]),
    [
      [['a red square'], undefined],
      [['a blue square', 'blue'], undefined],
      [[], 'empty-caption'],
    ],
  );
});

test('a path may end with a slash or contain dots', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'sub/a.png'), '');
  for (const path of [`${folder}/`, `${folder}/sub/..`])
    assert.equal((await readImages(path, { captions: 'ignore' }))[0]!.key, 'sub/a');
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
    await assert.rejects(folderPart(where).read({ captions: 'ignore' }), (error: DataError) => {
      assert.ok(error instanceof DataError && error.fix);
      assert.deepEqual([error.code, error.where], [code, where]);
      return true;
    });
  }
});

test('images that share a name but for the extension are all used, with their captions and longer keys', async () => {
  const folder = await temporaryFolder();
  for (const name of ['a.png', 'a.jpg', 'b.png']) await write(join(folder, name), '');
  await write(join(folder, 'a.txt'), 'twins');
  const faults = new Faults();
  const images = await readImages(folder, { captions: 'optional', faults });
  assert.deepEqual(
    images.map(({ key, captions }) => [key, captions]),
    [
      ['a.jpg', ['twins']],
      ['a.png', ['twins']],
      ['b', []],
    ],
  );
  assert.equal(faults.count('twin'), 2);
});

test('with required captions, an image without one is left out and recorded', async () => {
  const folder = await temporaryFolder();
  for (const name of ['a.png', 'b.png', 'c.png']) await write(join(folder, name), '');
  await write(join(folder, 'a.txt'), 'a red circle');
  await write(join(folder, 'b.txt'), ' \n\n');
  const { log } = keepingLogger();
  const faults = new Faults(log);
  const images = await readImages(folder, { captions: 'required', faults });
  assert.deepEqual(
    images.map(({ key }) => key),
    ['a'],
  );
  assert.deepEqual(faults.all, [
    { path: join(folder, 'b.png'), reason: 'its caption is empty' },
    { path: join(folder, 'c.png'), reason: 'it has no caption' },
  ]);
});

test('with required captions, a folder without any is an error', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'a.png'), '');
  const faults = new Faults(keepingLogger().log);
  await assert.rejects(
    readImages(folder, { captions: 'required', faults }),
    (error: DataError) => error.code === 'E_NO_CAPTION' && error.message.startsWith('1 of 1 '),
  );
});

test('a caption or a folder without read permission is an error', { skip: isRoot }, async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'a.png'), '');
  await write(join(folder, 'a.txt'), 'a red circle');
  await chmod(join(folder, 'a.txt'), 0);
  await assert.rejects(readImages(folder, { captions: 'optional' }), {
    code: 'E_NO_PERMISSION',
    where: join(folder, 'a.txt'),
  });
  await mkdir(join(folder, 'shut'), { mode: 0 });
  await assert.rejects(readImages(folder, { captions: 'ignore' }), {
    code: 'E_NO_PERMISSION',
    where: join(folder, 'shut'),
  });
});

test('the grid of what mm sample wrote is left out and said; another grid.png is an image', async () => {
  const folder = await temporaryFolder();
  for (const name of ['samples/0000-a-cat.png', 'samples/grid.png', 'others/grid.png', 'others/cat.png'])
    await write(join(folder, name), '');
  const faults = new Faults();
  const images = await readImages(folder, { captions: 'ignore', faults });
  assert.deepEqual(
    images.map(({ key }) => key),
    ['others/cat', 'others/grid', 'samples/0000-a-cat'],
  );
  const where = join(folder, 'samples/grid.png');
  assert.deepEqual(faults.counts, [
    { kind: 'sample-grid', count: 1, examples: [{ kind: 'sample-grid', where }] },
  ]);
});
