// Archives and tables that other programs wrote (scripts/fixtures/sources.py), and streams of them.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { decodeImage } from '../../../../src/data/decode.ts';
import type { CaptionedImage } from '../../../../src/data/image.ts';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { openSource } from '../../../../src/data/sources/open-source.ts';
import { readImages } from '../../../../src/data/sources/resolve.ts';
import { temporaryFolder, write } from '../../../support/images.ts';

const FIXTURES = new URL('../fixtures/sources/', import.meta.url).pathname;
const fixture = (name: string): string => join(FIXTURES, name);
const optional = { captions: 'optional' } as const;
const colour = async (image: CaptionedImage): Promise<number[]> => [
  ...(await decodeImage(image, { size: 8, crop: 'none' })).subarray(0, 3),
];
const [red, blue] = [
  [255, 0, 0],
  [0, 0, 255],
];

process.env.MM_CACHE = await temporaryFolder();

/** What both tars hold, under the first part of their keys. */
async function assertTar(images: readonly CaptionedImage[], prefix: string): Promise<void> {
  const long = `${'folder/'.repeat(20)}${'é'.repeat(60)}`;
  assert.deepEqual(
    images.map(({ key, captions, label }) => [key, captions, label]),
    [
      [`${prefix}/${long}`, ['a red square'], undefined],
      [`${prefix}/same`, [], '3'],
      [`${prefix}/link`, ['linked'], undefined],
      [`${prefix}/label`, ['a dog'], 'a dog'],
    ],
  );
  assert.deepEqual(await Promise.all(images.map(colour)), [red, red, red, blue]);
}

for (const kind of ['gnu', 'pax']) {
  test(`tars of Python in ${kind} format: long names, hard links and symbolic ones, classes, hidden files`, async () => {
    const faults = new Faults();
    await assertTar(await readImages(fixture(`${kind}.tar`), { ...optional, faults }), kind);
    assert.deepEqual(
      faults.counts.map(({ kind, count }) => [kind, count]),
      [
        ['archive-member', 1],
        ['hidden', 1],
      ],
    );
  });
}

test('a compressed tar is read as the same tar, from a file, an address, or a pipe', async () => {
  const folder = await temporaryFolder();
  const packed = gzipSync(readFileSync(fixture('pax.tar')));
  for (const name of ['pax.tar.gz', 'pax.tgz', 'pax.tar']) {
    await write(join(folder, name), packed);
    if (name !== 'pax.tar') await assertTar(await readImages(join(folder, name), optional), 'pax');
  }
  const server = createServer((request, response) => {
    if (request.url !== '/data/pax.tar?key=1') response.statusCode = 403;
    response.end(packed);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const address = `http://127.0.0.1:${port}/data/pax.tar`;
  await assertTar(await readImages(`${address}?key=1`, optional), 'pax');
  await assert.rejects(readImages(address, optional), { code: 'E_DOWNLOAD', where: address });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(readImages(address, optional), { code: 'E_DOWNLOAD', where: address });

  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const { parts } = await openSource(pipe);
  assert.deepEqual(
    parts.map(({ access }) => access),
    ['once'],
  );
  const writer = spawn('sh', ['-c', 'cat "$1" > "$2"', 'sh', join(folder, 'pax.tgz'), pipe]);
  await assertTar(await readImages(pipe, optional), 'pipe');
  assert.equal(writer.kill(), false); // it has ended
});

test('a compressed tar that is cut short is an error', async () => {
  const folder = await temporaryFolder();
  const packed = gzipSync(readFileSync(fixture('pax.tar')));
  await write(join(folder, 'cut.tar.gz'), packed.subarray(0, packed.length - 20));
  await assert.rejects(readImages(join(folder, 'cut.tar.gz'), optional), {
    code: 'E_ARCHIVE_DAMAGED',
    where: join(folder, 'cut.tar.gz'),
  });
});

test('a command in a path is not run, and addresses of other kinds are refused', async () => {
  await assert.rejects(openSource('pipe:touch /tmp/mm-ran'), { name: 'UsageError', code: 'E_PIPE' });
  await assert.rejects(openSource('s3://bucket/a.tar'), { name: 'UsageError', code: 'E_ADDRESS' });
});

test('Parquet with images inside: img2dataset’s and Hugging Face’s, of several row groups', async () => {
  const images = await readImages(fixture('img2dataset.parquet'), optional);
  assert.deepEqual(
    images.map(({ key, captions }) => [key, captions]),
    [
      ['img2dataset/000000000', ['a red square']],
      ['img2dataset/000000001', ['a blue square']],
      ['img2dataset/000000002', []],
    ],
  );
  assert.deepEqual(await Promise.all(images.map(colour)), [red, blue, [0, 128, 0]]);
  const hub = await readImages(fixture('hugging-face.parquet'), optional);
  assert.deepEqual(
    hub.map(({ captions, label }) => [captions, label]),
    [
      [['a red square', 'red'], '0'],
      [['a blue square'], '1'],
      [[], '2'],
    ],
  );
  assert.deepEqual(await Promise.all(hub.map(colour)), [red, blue, [0, 128, 0]]);
});

test('Parquet of paths is a list; one of addresses, and one that is damaged, are refused', async () => {
  const images = await readImages(fixture('paths.parquet'), optional);
  assert.deepEqual(
    images.map(({ key, path, captions }) => [key, path, captions]),
    [
      ['a/0', fixture('a/0.png'), ['zero']],
      ['a/1', fixture('a/1.png'), ['one']],
    ],
  );
  await assert.rejects(readImages(fixture('urls.parquet'), optional), { code: 'E_NO_IMAGE_COLUMN' });
  const folder = await temporaryFolder();
  await write(join(folder, 'cut.parquet'), readFileSync(fixture('paths.parquet')).subarray(0, 700));
  await assert.rejects(readImages(join(folder, 'cut.parquet'), optional), { code: 'E_PARQUET_DAMAGED' });
});

test('files are known by what they hold: a tar without its extension, and files of no use by name', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'data'), readFileSync(fixture('pax.tar')));
  await assertTar(await readImages(join(folder, 'data'), optional), 'data');
  const useless: Readonly<Record<string, string | Buffer>> = {
    'a.parquet': 'version https://git-lfs.github.com/spec/v1\n',
    'b.csv': '<!DOCTYPE html><html>',
    'c.arrow': 'ARROW1\0\0',
    'd.zip': 'PK\x03\x04',
    'e.pkl': Buffer.of(0x80, 4, 0x95),
    'f.json': '',
  };
  for (const [name, data] of Object.entries(useless)) {
    await write(join(folder, name), data);
    await assert.rejects(readImages(join(folder, name), optional), { code: 'E_NOT_A_SOURCE' }, name);
  }
});

test('globs and braces name tars in their order, and tars of one name keep apart', async () => {
  const folder = await temporaryFolder();
  const tar = readFileSync(fixture('pax.tar'));
  for (const name of ['a/00.tar', 'a/01.tar', 'b/00.tar']) await write(join(folder, name), tar);
  const paths = async (pattern: string): Promise<string[]> =>
    (await openSource(join(folder, pattern))).parts.map(({ path }) => path.slice(folder.length + 1));
  assert.deepEqual(await paths('*/0?.tar'), ['a/00.tar', 'a/01.tar', 'b/00.tar']);
  assert.deepEqual(await paths('{b,a}/{00..00}.tar'), ['b/00.tar', 'a/00.tar']);
  assert.deepEqual(await paths('**/00.tar'), ['a/00.tar', 'b/00.tar']);
  await assert.rejects(paths('c/*.tar'), { code: 'E_NOT_FOUND' });
  const keys = (await readImages(join(folder, '*/00.tar'), optional)).map(({ key }) => key);
  assert.deepEqual(
    keys.filter((key) => key.endsWith('/label')),
    ['a/00/label', 'b/00/label'],
  );
  assert.equal(new Set(keys).size, keys.length);
});
