import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import sharp from 'sharp';
import { makeShapes } from '../../../../src/data/shapes/make.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mm-shapes-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const options = { count: 20, size: 32, seed: 5 };

async function contents(path: string): Promise<Map<string, Buffer>> {
  const names = (await readdir(path, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  );
  const files = names.map((entry) => join(entry.parentPath, entry.name)).sort();
  return new Map(
    await Promise.all(files.map(async (file) => [file.slice(path.length), await readFile(file)] as const)),
  );
}

test('the same seed writes the same bytes, and another seed other bytes', async () => {
  await makeShapes({ ...options, out: join(folder, 'a') });
  await makeShapes({ ...options, out: join(folder, 'b') });
  await makeShapes({ ...options, seed: 6, out: join(folder, 'c') });
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => contents(join(folder, name))));
  assert.deepEqual(a, b);
  assert.notDeepEqual(a, c);
});

test('a larger data set starts with the images of a smaller one', async () => {
  await makeShapes({ ...options, count: 11, out: join(folder, 'short') });
  const [a, short] = await Promise.all(['a', 'short'].map((name) => contents(join(folder, name))));
  assert.deepEqual(short!.get('/images/000010.png'), a!.get('/images/000010.png'));
});

test('the folder holds images of the given size, captions, heldout.json and about.json', async () => {
  const files = await contents(join(folder, 'a'));
  assert.equal([...files.keys()].filter((name) => name.endsWith('.png')).length, 20);
  assert.match(files.get('/images/000000.txt')!.toString(), /^[a-z ]+\n$/);
  const { width, height, channels } = await sharp(files.get('/images/000019.png')).metadata();
  assert.deepEqual([width, height, channels], [32, 32, 3]);
  assert.equal(JSON.parse(files.get('/heldout.json')!.toString()).pairs.list.length, 6);
  assert.equal(JSON.parse(files.get('/about.json')!.toString()).seed, 5);
});

test('a folder that it wrote is replaced, any other only with force', async () => {
  await makeShapes({ ...options, count: 3, out: join(folder, 'b') });
  assert.equal((await readdir(join(folder, 'b', 'images'))).length, 6);
  const other = join(folder, 'other');
  await mkdir(other);
  await writeFile(join(other, 'thesis.txt'), 'years of work');
  await assert.rejects(makeShapes({ ...options, out: other }), {
    name: 'UsageError',
    code: 'E_FOLDER_NOT_EMPTY',
    where: other,
  });
  assert.deepEqual(await readdir(other), ['thesis.txt']);
  await makeShapes({ ...options, count: 1, out: other, force: true });
  assert.deepEqual((await readdir(other)).sort(), ['about.json', 'heldout.json', 'images']);
});

test('the working folder and the folders around it are never replaced', async () => {
  for (const out of ['.', '..', '/'])
    await assert.rejects(makeShapes({ ...options, out, force: true }), {
      name: 'UsageError',
      code: 'E_FOLDER_IN_USE',
      where: out,
    });
});

test('values out of range are refused with the option', async () => {
  for (const wrong of [{ count: 0 }, { count: 1.5 }, { size: 8 }, { seed: -1 }, { size: Number.NaN }])
    await assert.rejects(makeShapes({ ...options, ...wrong, out: join(folder, 'd') }), {
      name: 'UsageError',
      code: 'E_OPTION_VALUE',
      option: Object.keys(wrong)[0],
    });
});

test('an interrupted command leaves nothing behind', async () => {
  const before = await readdir(folder);
  const controller = new AbortController();
  const progress = { start: () => {}, update: () => controller.abort(), stop: () => {}, note: () => {} };
  const run = makeShapes({
    ...options,
    count: 2000,
    out: join(folder, 'e'),
    progress,
    signal: controller.signal,
  });
  await assert.rejects(run, { name: 'InterruptedError', code: 'E_INTERRUPTED' });
  assert.deepEqual(await readdir(folder), before);
});
