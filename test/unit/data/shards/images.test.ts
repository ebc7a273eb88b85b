import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CaptionedImage } from '../../../../src/data/image.ts';
import type { ImageTurn } from '../../../../src/data/image-set.ts';
import type { BatchPosition } from '../../../../src/data/order.ts';
import { ShardedImages, type ShardOptions } from '../../../../src/data/shards/images.ts';

const COUNTS = Int32Array.of(4, 0, 7, 1, 5, 9);
const TOTAL = 26;

const imagesOf = (shard: number): CaptionedImage[] =>
  Array.from({ length: COUNTS[shard] as number }, (_, i) => ({
    key: `${shard}/${i}`,
    path: `${shard}.tar/${i}.jpg`,
    captions: [],
  }));

const open = (shard: number) => ({ images: imagesOf(shard), close: async () => {} });

/** The set, and how often each shard was read. */
function sharded(more: Partial<ShardOptions<CaptionedImage>> = {}) {
  const opened = new Int32Array(COUNTS.length);
  const reads = new Int32Array(COUNTS.length);
  const shards = Array.from(COUNTS.keys(), (shard) => ({
    path: `${shard}.tar`,
    read: async () => {
      reads[shard] = (reads[shard] as number) + 1;
      opened[shard]!++;
      return { images: imagesOf(shard), close: async () => void opened[shard]!-- };
    },
  }));
  return {
    set: new ShardedImages('tars', shards, { counts: COUNTS, buffer: 8, isTrained: () => true, ...more }),
    reads,
    opened,
  };
}

async function take(set: ShardedImages, count: number, position?: BatchPosition): Promise<ImageTurn[]> {
  const taken: ImageTurn[] = [];
  for await (const turn of set.turns(3, position)) {
    taken.push(turn);
    if (taken.length === count) break;
  }
  return taken;
}

const keyOf = ({ images, index }: ImageTurn): string => images[index]?.key as string;
const all = Array.from(COUNTS.keys())
  .flatMap(imagesOf)
  .map(({ key }) => key)
  .sort();

test('an epoch has every image once, and reads every shard once', async () => {
  const { set, reads } = sharded();
  const keys = (await take(set, TOTAL)).map(keyOf);
  assert.deepEqual(keys.toSorted(), all);
  // The first window of the next epoch is read ahead.
  assert.ok(
    reads.every((count, shard) => count >= Math.sign(COUNTS[shard] as number) && count <= 2),
    String(reads),
  );
});

test('turns resumed at any position equal uninterrupted ones, images that are passed over included', async () => {
  const isTrained = ({ key }: CaptionedImage): boolean => !key.endsWith('2');
  const whole = await take(sharded({ isTrained }).set, 60);
  assert.ok(whole.every((turn) => !keyOf(turn).endsWith('2')));
  for (const stop of [1, 5, 20, 21, 22, 23, 24, 44, 59]) {
    const position = JSON.parse(JSON.stringify((whole[stop - 1] as ImageTurn).position));
    const rest = await take(sharded({ isTrained }).set, 60 - stop, position);
    assert.deepEqual(rest, whole.slice(stop), `${stop}`);
  }
});

test('the images of two windows at most are in memory', async () => {
  const { set, reads } = sharded();
  await take(set, 1);
  const read = reads.reduce((sum, count, shard) => sum + count * (COUNTS[shard] as number), 0);
  // A window of at least 8 ends with the shard that fills it.
  assert.ok(read < 2 * (8 + 9), `${read} images were read for the first turn`);
});

test('copies of shards are freed some windows after their last image, and read ones at the end', async () => {
  const { set, opened } = sharded({ buffer: 2 });
  const sizes: number[] = [];
  let taken = 0;
  for await (const { images, index } of set.turns(3)) {
    assert.ok(opened[Number(images[index]?.key.split('/')[0])]! > 0, 'an image that is used is open');
    sizes.push(opened.reduce((sum, count) => sum + count, 0));
    if (++taken === 3 * TOTAL) break;
  }
  assert.ok(Math.min(...sizes.slice(TOTAL)) < 5, `${sizes}: never freed`);
});

describe('faults', () => {
  test('a shard that has changed since it was counted ends the run', async () => {
    const { set } = sharded({ counts: Int32Array.of(4, 0, 7, 1, 5, 8) });
    await assert.rejects(take(set, TOTAL), { code: 'E_SHARD_CHANGED', where: '5.tar' });
  });

  test('a data set without an image to train on is an error, and no endless search', async () => {
    const { set } = sharded({ isTrained: () => false });
    await assert.rejects(take(set, 1), { code: 'E_NO_TRAINING_IMAGES' });
    await assert.rejects(take(set, 1, { epoch: 4, index: TOTAL - 1 }), { code: 'E_NO_TRAINING_IMAGES' });
  });

  test('a shard that cannot be read is an error in its turn', async () => {
    const shards = Array.from(COUNTS.keys(), (shard) => ({
      path: `${shard}.tar`,
      read: async () => (shard === 2 ? Promise.reject(new Error('unplugged')) : open(shard)),
    }));
    const set = new ShardedImages('tars', shards, { counts: COUNTS, buffer: 1, isTrained: () => true });
    await assert.rejects(take(set, TOTAL), /unplugged/);
  });
});
