// Archives that are read in order: addresses shard by shard, pipes that are stopped, bombs, and damaged parts of several.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { countsOfLarge } from '../../../../src/data/shards/source-counts.ts';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { openSource } from '../../../../src/data/sources/open-source.ts';
import { readImages } from '../../../../src/data/sources/resolve.ts';
import { unpacked } from '../../../../src/data/sources/streams.ts';
import { SILENT } from '../../../../src/util/progress.ts';
import { keepingLogger, plain, temporaryFolder, write } from '../../../support/images.ts';
import { packTar } from '../../../support/tars.ts';

const png = await plain(8, 8, '#f00').png().toBuffer();
const tarOf = (count: number): Promise<Buffer> =>
  packTar(Object.fromEntries(Array.from({ length: count }, (_, i) => [`${i}.png`, png])));

test('a gzip bomb is refused beyond both of its limits, and what is no bomb is unpacked whole', async () => {
  const zeros = Buffer.alloc(2 ** 20);
  const unpack = (bytes: number, ratio: number): Promise<Buffer> =>
    buffer(unpacked(Readable.from([gzipSync(zeros)]), 'a.tar.gz', { bytes, ratio }));
  await assert.rejects(unpack(2 ** 16, 200), { code: 'E_ARCHIVE_BOMB', where: 'a.tar.gz' });
  assert.equal((await unpack(2 ** 20, 200)).length, zeros.length);
  assert.equal((await unpack(2 ** 16, 2000)).length, zeros.length);
});

test('a pipe that never sends anything is given up at once when the reading is stopped', async () => {
  const pipe = join(await temporaryFolder(), 'pipe');
  execFileSync('mkfifo', [pipe]);
  const controller = new AbortController();
  const reading = readImages(pipe, { captions: 'optional', signal: controller.signal });
  setTimeout(() => controller.abort(), 50);
  await assert.rejects(reading, { code: 'E_INTERRUPTED', where: pipe });
  // No thread waits for the pipe any more: a writer finds no reader.
  assert.throws(() =>
    execFileSync('dd', ['if=/dev/zero', `of=${pipe}`, 'oflag=nonblock', 'count=1'], { stdio: 'ignore' }),
  );
});

test('a damaged list among several is a fault of its own, and the others are read', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'a.png'), png);
  await write(join(folder, '0.csv'), 'file,caption\na.png,red\n');
  const damaged = {
    '1.json': '{"images":',
    '2.csv': 'id,words\n1,x\n',
    '3.json': '[]',
    '4.txt': 'version https://git-lfs.github.com/spec/v1\n',
  };
  for (const [name, text] of Object.entries(damaged)) await write(join(folder, name), text);
  const faults = new Faults();
  const paths = [...Object.keys(damaged), '0.csv'].map((name) => join(folder, name));
  const images = await readImages(join(folder, '{1.json,2.csv,3.json,4.txt,0.csv}'), {
    captions: 'optional',
    faults,
  });
  assert.deepEqual(
    images.map(({ captions }) => captions),
    [['red']],
  );
  const found = faults.counts.find(({ kind }) => kind === 'damaged-list');
  assert.deepEqual(
    found?.examples.map(({ where }) => where),
    paths.slice(0, 4),
  );
  await assert.rejects(readImages(`${paths[1]}::${paths[2]}`, { captions: 'optional' }), {
    code: 'E_LIST_DAMAGED',
    where: paths[1],
  });
});

test('addresses in braces are counted once, each in its turn, and read one at a time', async () => {
  const root = await temporaryFolder();
  const { MM_CACHE } = process.env;
  process.env.MM_CACHE = join(root, 'cache');
  const tars = [gzipSync(await tarOf(3)), await tarOf(2), Buffer.from('no tar'.repeat(200))];
  const asked: string[] = [];
  const server = createServer(({ url = '', method }, response) => {
    asked.push(`${method} ${url}`);
    const tar = tars[Number(/(\d)\.tar/.exec(url)?.[1])];
    response.writeHead(200, { 'content-length': String(tar?.length) });
    response.end(method === 'HEAD' ? undefined : tar);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const path = `http://127.0.0.1:${(server.address() as AddressInfo).port}/{0..2}.tar`;
    const { log, lines } = keepingLogger();
    const context = { log, progress: SILENT, signal: new AbortController().signal };
    const source = await openSource(path);
    assert.deepEqual(await countsOfLarge(source, 4, context), Int32Array.of(3, 2, 0));
    assert.ok(
      lines.some((line) => /skipping .*2\.tar/.test(line)),
      String(lines),
    );
    const gets = asked.filter((one) => one.startsWith('GET')).length;
    assert.equal(gets, 3);
    assert.deepEqual(await countsOfLarge(source, 4, context), Int32Array.of(3, 2, 0));
    assert.equal(asked.filter((one) => one.startsWith('GET')).length, gets, 'counted once');
    assert.equal(await countsOfLarge(source, 1e6, context), undefined);
  } finally {
    server.closeAllConnections();
    server.close();
    if (MM_CACHE === undefined) delete process.env.MM_CACHE;
    else process.env.MM_CACHE = MM_CACHE;
  }
});
