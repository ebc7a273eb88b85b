import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { type ImageBatch, ImageBatches, type ImageBatchOptions } from '../../../src/data/batches.ts';
import { decodeImage } from '../../../src/data/decode.ts';
import type { CaptionedImage } from '../../../src/data/image.ts';
import { mirror } from '../../../src/data/orientation.ts';
import { Faults } from '../../../src/data/sources/faults.ts';
import { readImages } from '../../../src/data/sources/resolve.ts';
import { RandomStream } from '../../../src/util/random.ts';
import { halves, keepingLogger, plain, temporaryFolder, write } from '../../support/images.ts';

const SIZE = 8;
const folder = await temporaryFolder();
let images: CaptionedImage[];

before(async () => {
  for (let i = 0; i < 10; i++) {
    await write(
      join(folder, `good/p${i}.png`),
      await halves(20 + i, 24, 0.3 + i / 20)
        .png()
        .toBuffer(),
    );
    await write(join(folder, `good/p${i}.txt`), `picture ${i}`);
  }
  images = await readImages(join(folder, 'good'), { captions: 'required' });
});

function options(more: Partial<ImageBatchOptions> = {}): ImageBatchOptions {
  const faults = new Faults(keepingLogger().log);
  return { size: SIZE, batch: 4, seed: 3, crop: 'random', cropScale: 0.5, flip: true, faults, ...more };
}

async function take(batches: ImageBatches, count: number): Promise<ImageBatch[]> {
  const taken: ImageBatch[] = [];
  for await (const batch of batches) {
    taken.push(batch);
    if (taken.length === count) break;
  }
  return taken;
}

test('a batch has its images one after the other, with keys and captions', async () => {
  const [batch] = await take(new ImageBatches(images, options({ crop: 'center', flip: false })), 1);
  assert.equal(batch!.pixels.length, 4 * SIZE * SIZE * 3);
  for (const [i, key] of batch!.keys.entries()) {
    const expected = await decodeImage(join(folder, 'good', `${key}.png`), { size: SIZE, crop: 'center' });
    assert.deepEqual(batch!.pixels.slice(i * expected.length, (i + 1) * expected.length), expected);
    assert.equal(batch!.captions[i], `picture ${key.slice(1)}`);
  }
});

test('the same seed gives the same batches whatever the prefetch; another seed gives other batches', async () => {
  const once = await take(new ImageBatches(images, options({ prefetch: 1 })), 7);
  assert.deepEqual(await take(new ImageBatches(images, options({ prefetch: 5 })), 7), once);
  assert.notDeepEqual(await take(new ImageBatches(images, options({ seed: 4 })), 7), once);
});

for (const crop of ['random', 'center'] as const) {
  test(`a resumed run gets the same batches as an uninterrupted one: crop ${crop}`, async () => {
    const whole = await take(new ImageBatches(images, options({ crop })), 9);
    for (const stop of [1, 4, 5]) {
      const position = JSON.parse(JSON.stringify(whole[stop - 1]!.position));
      const rest = await take(new ImageBatches(images, options({ crop, position })), 9 - stop);
      assert.deepEqual(rest, whole.slice(stop));
    }
  });
}

test('crops and mirrors are picked by seed, epoch and key', async () => {
  const [batch] = await take(new ImageBatches(images, options({ batch: 30 })), 1);
  const length = SIZE * SIZE * 3;
  const seen = new Map<string, number>();
  for (const [i, key] of batch!.keys.entries()) {
    const epoch = seen.get(key) ?? 0;
    seen.set(key, epoch + 1);
    const random = new RandomStream(3, 'crop', epoch, key);
    const isMirrored = random.uniform() < 0.5;
    const path = join(folder, 'good', `${key}.png`);
    const plain = await decodeImage(path, { size: SIZE, crop: 'random', cropScale: 0.5, random });
    assert.deepEqual(
      batch!.pixels.slice(i * length, (i + 1) * length),
      isMirrored ? mirror(plain, SIZE) : plain,
    );
  }
});

test('a small data set with a fixed crop is decoded once, and mirrors still vary', async () => {
  const copy = join(folder, 'copy');
  for (const name of ['a', 'b'])
    await write(join(copy, `${name}.png`), await halves(20, 20).png().toBuffer());
  const batches = new ImageBatches(
    await readImages(copy, { captions: 'ignore' }),
    options({ crop: 'none', batch: 2, prefetch: 1 }),
  );
  const seen = new Set<string>();
  let count = 0;
  for await (const batch of batches) {
    await rm(copy, { recursive: true, force: true });
    seen.add(Buffer.from(batch.pixels).toString('hex'));
    if (++count === 12) break;
  }
  assert.ok(seen.size > 1);
});

test('unusable images are skipped and logged once, and batches stay full and repeatable', async () => {
  const mixed = join(folder, 'mixed');
  for (let i = 0; i < 6; i++)
    await write(join(mixed, `p${i}.png`), await plain(9, 9, `#00000${i}`).png().toBuffer());
  for (const name of ['bad0', 'p2a', 'zbad']) await write(join(mixed, `${name}.png`), 'not an image');
  const mixture = await readImages(mixed, { captions: 'ignore' });
  const { log, lines } = keepingLogger();
  const faults = new Faults(log);
  const whole = await take(new ImageBatches(mixture, options({ faults, batch: 5 })), 6);
  assert.deepEqual(faults.all.map(({ path }) => path.slice(mixed.length + 1)).sort(), [
    'bad0.png',
    'p2a.png',
    'zbad.png',
  ]);
  assert.equal(lines.length, 1); // the first of its kind
  faults.summarize();
  assert.match(lines[1]!, /^left out in all: 3 files without an image inside, /);
  assert.ok(whole.every(({ keys }) => keys.length === 5 && keys.every((key) => /^p\d$/.test(key))));
  const position = whole[2]!.position;
  assert.deepEqual(await take(new ImageBatches(mixture, options({ batch: 5, position })), 3), whole.slice(3));
});

test('a data set without a usable image is an error, and so is one of mostly unusable images', async () => {
  const bad = join(folder, 'bad');
  for (let i = 0; i < 3; i++) await write(join(bad, `${i}.png`), 'not an image');
  const few = await readImages(bad, { captions: 'ignore' });
  await assert.rejects(take(new ImageBatches(few, options()), 1), {
    name: 'DataError',
    code: 'E_NO_USABLE_IMAGE',
  });
  for (let i = 0; i < 30; i++) await write(join(bad, `more${i}.png`), 'not an image');
  for (let i = 0; i < 10; i++)
    await write(join(bad, `good${i}.png`), await plain(9, 9, '#abc').png().toBuffer());
  const most = await readImages(bad, { captions: 'ignore' });
  const { log, lines } = keepingLogger();
  const run = take(new ImageBatches(most, options({ batch: 40, faults: new Faults(log) })), 2);
  await assert.rejects(run, { name: 'DataError', code: 'E_TOO_MANY_FAULTS' });
  assert.equal(lines.length, 1);
});

test('iteration can stop early, while batches are decoded ahead', async () => {
  const iterator = new ImageBatches(images, options({ prefetch: 2 }))[Symbol.asyncIterator]();
  const first = await iterator.next();
  assert.equal(first.done, false);
  assert.deepEqual(await iterator.return(), { done: true, value: undefined });
  assert.equal((await iterator.next()).done, true);
});
