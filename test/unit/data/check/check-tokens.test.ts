// Token shards as `mm data check` sees them.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { checkTokens } from '../../../../src/data/check/check-tokens.ts';
import { Histogram } from '../../../../src/data/check/distribution.ts';
import { TokenFolder } from '../../../../src/data/tokens/folder.ts';
import { sha256 } from '../../../../src/data/tokens/manifest.ts';
import { NearCodes } from '../../../../src/data/tokens/near-codes.ts';
import { RandomStream } from '../../../../src/util/random.ts';

const path = mkdtempSync(join(tmpdir(), 'mm-check-tokens-'));
after(() => rmSync(path, { recursive: true }));

const GRID = 16;
const random = new RandomStream('test codes');
const codesOf = (): Uint16Array => Uint16Array.from({ length: GRID ** 2 }, () => random.integer(500));
const changed = (codes: Uint16Array, count: number): Uint16Array =>
  codes.map((code, i) => ((i * 7) % codes.length < count ? (code + 1) % 500 : code));

test('counts, captions, codes, and copies and near copies by their codes', async () => {
  const layout = {
    dvae: sha256('d'),
    imageSize: 64,
    grid: GRID,
    vocabulary: 512,
    shardSize: 4,
    source: sha256('s'),
  };
  const folder = await TokenFolder.open(path, layout, { resume: false, warn: assert.fail, images: 8 });
  const [a, b] = [codesOf(), codesOf()];
  const all = [a, b, a, changed(a, 8), changed(b, 100), codesOf(), codesOf()];
  const captions = [
    ['a red circle'],
    ['one', 'two words'],
    [],
    ['a red circle'],
    ['long '.repeat(9)],
    ['x'],
    [],
  ];
  const samples = all.map((codes, index) => ({
    ...{ index, key: `k${index}`, file: `${index}.png`, rows: GRID, columns: GRID, codes },
    captions: (captions[index] as string[]).map((caption) => caption.trim()),
  }));
  await folder.write(0, samples.slice(0, 4), []);
  await folder.write(1, samples.slice(4), [{ file: '7.png', why: 'cut short' }]);
  await folder.finish();

  const { report, codeCounts, shardOf, some } = await checkTokens(path, { textLength: 8 });
  assert.deepEqual(some, ['k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6']);
  assert.deepEqual(
    [...shardOf].sort(),
    some.map((key, i) => [key, Number(i > 3)]),
  );
  assert.deepEqual([report.images, report.shards, report.grid, report.vocabulary], [7, 2, GRID, 512]);
  assert.deepEqual(report.skipped, { count: 1, first: ['7.png: cut short'] });
  const { frequentWords, lengths, ...rest } = report.captions;
  assert.deepEqual(rest, {
    ...{ count: 5, several: 1, tokens: undefined, words: { min: 1, median: 3, max: 9 } },
    missing: { count: 2, first: ['k2', 'k6'] },
    tooLong: { count: 1, first: [{ file: 'k4', words: 9 }] },
  });
  assert.equal(frequentWords[0]?.word, 'long');
  assert.equal(
    lengths.reduce((sum, { count }) => sum + count, 0),
    6,
  );
  assert.deepEqual(report.duplicates, { images: 1, first: [['k0', 'k2']] });
  assert.deepEqual(report.nearDuplicates, { images: 1, first: [['k0', 'k3']] });
  assert.deepEqual(report.limits, []);
  assert.equal(
    codeCounts.reduce((sum, count) => sum + count, 0),
    7 * GRID ** 2,
  );
});

test('most images with 95 % of equal codes are found, and none with half of them', () => {
  const near = new NearCodes(1024);
  const many = Array.from({ length: 200 }, () =>
    Uint16Array.from({ length: 1024 }, () => random.integer(8192)),
  );
  for (const codes of many) assert.ok('added' in near.find(codes));
  const scattered = (codes: Uint16Array, share: number): Uint16Array =>
    codes.map((code) => (random.uniform() < share ? (code + 1) % 8192 : code));
  const found = many.filter((codes) => 'near' in near.find(scattered(codes, 0.05)));
  assert.ok(found.length > 180, `${found.length} of 200`);
  for (const codes of many) assert.ok('added' in near.find(scattered(codes, 0.5)));
});

test('a histogram has the range of all values', () => {
  const values = Array.from({ length: 501 }, () => random.integer(40));
  for (const some of [values, values.slice(0, 10), values.slice(0, 1), []]) {
    const histogram = new Histogram();
    for (const value of some) histogram.add(value);
    const sorted = some.toSorted((a, b) => a - b);
    const [min, median, max] = [sorted[0], sorted[some.length >> 1], sorted.at(-1)];
    assert.deepEqual(histogram.range, some.length > 0 ? { min, median, max } : undefined);
    assert.equal(histogram.below(7), some.filter((value) => value < 7).length);
  }
});
