import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ImageBatch, ImageBatches } from '../../../src/data/batches.ts';
import type { BatchPosition } from '../../../src/data/order.ts';
import { Faults } from '../../../src/data/sources/faults.ts';
import { isValidation } from '../../../src/data/split.ts';
import { openTrainingImages, type TrainingImages } from '../../../src/data/training-images.ts';
import { SILENT } from '../../../src/util/progress.ts';
import { keepingLogger, plain, write } from '../../support/images.ts';
import { packTar } from '../../support/tars.ts';

const SHARDS = 6;
const IMAGES = 9;
const BATCH = 4;
const SHARE = 0.2;

let root: string;
let tars: string;
const { MM_CACHE } = process.env;
before(async () => {
  root = mkdtempSync(join(tmpdir(), 'mm-training-images-'));
  process.env.MM_CACHE = join(root, 'cache');
  tars = join(root, 'tars');
  for (let shard = 0; shard < SHARDS; shard++) {
    const members: Record<string, string | Buffer> = {};
    for (let i = 0; i < IMAGES; i++) {
      const grey = (shard * IMAGES + i) * 4;
      members[`${i}.png`] = await plain(8, 8, `rgb(${grey},${grey},${grey})`).png().toBuffer();
      // One image of each shard has no caption.
      if (i > 0) members[`${i}.txt`] = `grey ${grey}`;
    }
    await write(join(tars, `shard-${shard}.tar`), await packTar(members));
  }
});
after(() => {
  rmSync(root, { recursive: true });
  if (MM_CACHE === undefined) delete process.env.MM_CACHE;
  else process.env.MM_CACHE = MM_CACHE;
});

/** With `whole` of 1, the data set is read shard by shard. */
const open = (whole: number, more: object = {}, source: object = {}): Promise<TrainingImages> =>
  openTrainingImages(
    { path: tars, validation: SHARE, shuffle: { whole, buffer: 12 }, ...source },
    {
      captions: 'required',
      batch: BATCH,
      maxHeldOut: 100,
      faults: new Faults(keepingLogger().log),
      log: keepingLogger().log,
      progress: SILENT,
      signal: new AbortController().signal,
      ...more,
    },
  );

async function take(
  { training }: TrainingImages,
  count: number,
  position?: BatchPosition,
  share?: { rank: number; workers: number },
): Promise<ImageBatch[]> {
  const faults = new Faults(keepingLogger().log);
  const options = {
    size: 4,
    batch: BATCH,
    seed: 5,
    crop: 'center',
    cropScale: 1,
    flip: true,
    faults,
  } as const;
  const taken: ImageBatch[] = [];
  for await (const batch of new ImageBatches(training, { ...options, position, share })) {
    taken.push(batch);
    if (taken.length === count) break;
  }
  return taken;
}

const keys = (batches: readonly ImageBatch[]): string[] => batches.flatMap((batch) => batch.keys);

describe('a data set of tars that is too large for memory', () => {
  test('has the same images and held-out images as in memory', async () => {
    const [shards, memory] = [await open(1), await open(1000)];
    assert.equal(shards.all, undefined);
    assert.equal(memory.all?.length, SHARDS * (IMAGES - 1));
    assert.deepEqual(shards.heldOut, memory.heldOut);
    assert.ok(shards.heldOut.every(({ key }) => isValidation(key, SHARE)));
    const count = memory.training.count;
    // More than an epoch, less than two.
    const visited = keys(await take(shards, Math.ceil(count / BATCH)));
    const first = visited.slice(0, count);
    assert.deepEqual(
      first.toSorted(),
      [...new Set(keys(await take(memory, Math.floor(count / BATCH) * 3)))].sort(),
    );
  });

  test('resumed anywhere it gives the batches of an uninterrupted run, pixels, captions and positions', async () => {
    const whole = await take(await open(1), 25);
    for (const stop of [1, 7, 10, 11, 20]) {
      const position = JSON.parse(JSON.stringify((whole[stop - 1] as ImageBatch).position));
      assert.deepEqual(await take(await open(1), 25 - stop, position), whole.slice(stop));
    }
  });

  test('the shares of workers are disjoint, and together they are the whole', async () => {
    for (const whole of [1, 1000]) {
      const images = await open(whole);
      const alone = await take(images, 12);
      const workers = await Promise.all(
        [0, 1].map((rank) => take(images, 12, undefined, { rank, workers: 2 })),
      );
      for (const [i, batch] of alone.entries()) {
        const parts = workers.map((batches) => batches[i] as ImageBatch);
        assert.deepEqual(keys(parts), [...batch.keys]);
        assert.deepEqual(Buffer.concat(parts.map(({ pixels }) => pixels)), Buffer.from(batch.pixels));
        for (const { position } of parts) assert.deepEqual(position, batch.position);
      }
    }
  });

  test('weights repeat images as often as in memory, and a validation source takes the place of the share', async () => {
    const mix = { path: `${tars}/shard-{0..2}.tar::${tars}/shard-{3..5}.tar`, weights: [1, 1.5] };
    const source = { ...mix, validationPath: join(tars, 'shard-0.tar') };
    const [shards, memory] = [await open(1, {}, source), await open(1000, {}, source)];
    assert.deepEqual(
      shards.heldOut.map(({ key }) => key),
      memory.heldOut.map(({ key }) => key),
    );
    const { count } = memory.training;
    assert.ok(count > SHARDS * (IMAGES - 1));
    const once = keys(await take(memory, Math.floor(count / BATCH)));
    const visited = keys(await take(shards, Math.floor(count / BATCH)));
    const all = [...new Set([...once, ...keys(await take(memory, count))])].sort();
    assert.deepEqual([...new Set([...visited, ...keys(await take(shards, count))])].sort(), all);
    assert.equal(new Set(visited).size, visited.length);
  });

  test('images without a caption are recorded once, however many epochs there are', async () => {
    const faults = new Faults(keepingLogger().log);
    await take(await open(1, { faults }), 30);
    const found = faults.counts.filter(({ kind }) => kind === 'no-caption');
    assert.deepEqual(
      found.map(({ count }) => count),
      [SHARDS],
    );
  });
});
