import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { imageCounts, indexFile } from '../../../../src/data/shards/image-counts.ts';

let cache: string;
let paths: string[];
before(() => {
  cache = mkdtempSync(join(tmpdir(), 'mm-index-'));
  paths = Array.from({ length: 5 }, (_, i) => join(cache, `${i}.tar`));
  for (const [i, path] of paths.entries()) writeFileSync(path, 'x'.repeat(10 + i));
});
after(() => rmSync(cache, { recursive: true }));

/** Counts and the paths that had to be counted for them. */
async function counts(fails?: string) {
  const counted: string[] = [];
  const images = await imageCounts(paths, {
    cache,
    count: async (path) => {
      if (path === fails) throw new Error('unreadable');
      counted.push(path);
      return 100 + paths.indexOf(path);
    },
  }).catch((error: Error) => error.message);
  return { images: typeof images === 'string' ? images : [...images], counted };
}
const ALL = [100, 101, 102, 103, 104];

test('shards are counted once; one that has changed is counted again, alone', async () => {
  assert.deepEqual(await counts(), { images: ALL, counted: paths });
  assert.deepEqual(await counts(), { images: ALL, counted: [] });
  writeFileSync(paths[1] as string, 'longer than it was');
  assert.deepEqual(await counts(), { images: ALL, counted: [paths[1]] });
  utimesSync(paths[3] as string, 1, 1);
  assert.deepEqual(await counts(), { images: ALL, counted: [paths[3]] });
});

test('what was counted before a failure is kept', async () => {
  rmSync(indexFile(cache, paths));
  const stopped = await counts(paths[4]);
  assert.equal(stopped.images, 'unreadable');
  assert.ok(stopped.counted.length >= 1);
  const rest = paths.filter((path) => !stopped.counted.includes(path));
  assert.deepEqual(await counts(), { images: ALL, counted: rest });
});

test('an index that is damaged is built again', async () => {
  for (const content of ['', '{"format":"mm-shard-index","version":1,"shards":[[1]]}', 'null']) {
    writeFileSync(indexFile(cache, paths), content);
    assert.deepEqual((await counts()).counted, paths);
  }
});
