import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import tar from 'tar-stream';
import { encodeNpy } from '../../../../src/data/tokens/npy.ts';
import { packShard, type TokenSample, unpackShard } from '../../../../src/data/tokens/shard.ts';
import { DataError } from '../../../../src/util/errors.ts';

const sample = (index: number, captions = [`caption ${index}`]): TokenSample => ({
  index,
  key: `folder.v2/ключ ${index}.a`,
  file: `folder.v2/ключ ${index}.a.png`,
  captions,
  rows: 2,
  columns: 3,
  codes: Uint16Array.from({ length: 6 }, (_, i) => index * 6 + i),
});
const samples = [sample(0), sample(1, ['два', 'строчки 🎈']), sample(7, []), sample(12_345)];

/** A tar of any files. */
async function archive(files: Readonly<Record<string, Buffer | string>>): Promise<Buffer> {
  const pack = tar.pack();
  for (const [name, data] of Object.entries(files)) pack.entry({ name }, data as Buffer);
  pack.finalize();
  return buffer(pack);
}
const CODES = encodeNpy(sample(0));
const ABOUT = JSON.stringify({ key: 'a', file: 'a.png' });

test('a shard gives back its samples, with captions in any script or none', async () => {
  assert.deepEqual(await unpackShard(await packShard(samples), 'shard'), samples);
  assert.deepEqual(await unpackShard(await packShard([]), 'shard'), []);
});

test('the same samples give the same bytes', async () => {
  assert.deepEqual(await packShard(samples), await packShard(samples));
});

test('names are valid in any tar, and the files of a sample stand together, as WebDataset expects', async () => {
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

test('files of other programs are ignored', async () => {
  const bytes = await archive({ '1.jpg': 'image', '1.codes.npy': CODES, '1.json': ABOUT });
  assert.deepEqual(
    (await unpackShard(bytes, 'shard')).map(({ index, key }) => [index, key]),
    [[1, 'a']],
  );
});

describe('a damaged shard is refused:', () => {
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
        assert.deepEqual([error.code, error.where], ['E_TOKENS_DAMAGED', 'the shard']);
        return true;
      });
    });
  }

  test('a file that is there twice', async () => {
    const bytes = await packShard([sample(1), sample(1)]);
    await assert.rejects(
      unpackShard(bytes, 'shard'),
      (error: DataError) =>
        error.code === 'E_TOKENS_DAMAGED' && error.message.startsWith('000000001.codes.npy '),
    );
  });

  test('a tar cut short, or changed', async () => {
    const bytes = await packShard(samples);
    for (const length of [100, 600, 1500])
      await assert.rejects(unpackShard(bytes.subarray(0, length), 'shard'), { code: 'E_TOKENS_DAMAGED' });
    const changed = Buffer.from(bytes);
    changed[3]! ^= 1;
    await assert.rejects(unpackShard(changed, 'shard'), { code: 'E_TOKENS_DAMAGED' });
  });
});
