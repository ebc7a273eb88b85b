import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import tar from 'tar-stream';
import { encodeNpy } from '../../../../src/data/tokens/npy.ts';
import { packShard, type TokenSample, unpackShard } from '../../../../src/data/tokens/shard.ts';
import { DataError } from '../../../../src/util/errors.ts';

const sample = (index: number, caption: string | undefined = `caption ${index}`): TokenSample => ({
  index,
  key: `folder.v2/ключ ${index}.a`,
  file: `folder.v2/ключ ${index}.a.png`,
  caption,
  rows: 2,
  columns: 3,
  codes: Uint16Array.from({ length: 6 }, (_, i) => index * 6 + i),
});
const samples = [
  sample(0),
  sample(1, 'два\nстрочки 🎈'),
  { ...sample(7), caption: undefined },
  sample(12_345),
];

/** A tar of any files. */
async function archive(files: Readonly<Record<string, Buffer | string>>): Promise<Buffer> {
  const pack = tar.pack();
  for (const [name, data] of Object.entries(files)) pack.entry({ name }, data as Buffer);
  pack.finalize();
  return buffer(pack);
}
const CODES = encodeNpy(sample(0));
const ABOUT = JSON.stringify({ key: 'a', file: 'a.png' });

test('gives back the samples, in any script and without captions', async () => {
  assert.deepEqual(await unpackShard(await packShard(samples), 'shard'), samples);
  assert.deepEqual(await unpackShard(await packShard([]), 'shard'), []);
});

test('the same samples make the same bytes', async () => {
  assert.deepEqual(await packShard(samples), await packShard(samples));
});

test('names are safe in any tar, and files of a sample stand together, as WebDataset wants them', async () => {
  const names: string[] = [];
  const extract = tar.extract();
  extract.end(await packShard(samples));
  for await (const entry of extract) {
    names.push(entry.header.name);
    entry.resume();
  }
  assert.deepEqual(names.slice(0, 3), ['000000000.codes.npy', '000000000.txt', '000000000.json']);
  assert.deepEqual(names.slice(6), [
    '000000007.codes.npy',
    '000000007.json',
    '000012345.codes.npy',
    '000012345.txt',
    '000012345.json',
  ]);
});

test('fields of other programs are passed over', async () => {
  const bytes = await archive({ '1.jpg': 'image', '1.codes.npy': CODES, '1.json': ABOUT });
  assert.deepEqual(
    (await unpackShard(bytes, 'shard')).map(({ index, key }) => [index, key]),
    [[1, 'a']],
  );
});

describe('refuses', () => {
  const cases: [string, Readonly<Record<string, Buffer | string>>, RegExp][] = [
    ['missing codes', { '1.json': ABOUT }, /^1\.codes\.npy is missing$/],
    ['missing JSON', { '1.codes.npy': CODES }, /^1\.json is missing$/],
    ['damaged codes', { '1.codes.npy': CODES.subarray(1), '1.json': ABOUT }, /^1\.codes\.npy: not an NPY/],
    ['damaged JSON', { '1.codes.npy': CODES, '1.json': '{' }, /^1\.json: /],
    ['JSON without the key', { '1.codes.npy': CODES, '1.json': '{"file":"a"}' }, /^1\.json: .*key/s],
    ['a file without extension', { '1': CODES }, /without extension: 1$/],
  ];
  for (const [name, files, message] of cases) {
    test(name, async () => {
      await assert.rejects(unpackShard(await archive(files), 'the shard'), (error: unknown) => {
        assert.ok(error instanceof DataError);
        assert.match(error.message, message);
        assert.equal(error.where, 'the shard');
        return true;
      });
    });
  }

  test('a file that is there twice', async () => {
    const bytes = await packShard([sample(1), sample(1)]);
    await assert.rejects(unpackShard(bytes, 'shard'), /000000001\.codes\.npy is in the shard twice/);
  });

  test('a tar cut short, or changed', async () => {
    const bytes = await packShard(samples);
    for (const length of [100, 600, 1500])
      await assert.rejects(unpackShard(bytes.subarray(0, length), 'shard'), /not a whole tar file/);
    const changed = Buffer.from(bytes);
    changed[3]! ^= 1;
    await assert.rejects(unpackShard(changed, 'shard'), /not a whole tar file/);
  });
});
