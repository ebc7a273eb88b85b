import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { NearlySame, SameContents } from '../../../../src/data/check/copies.ts';
import { MAX_DISTANCE } from '../../../../src/data/check/near-duplicates.ts';
import { hashDistance, type PerceptualHash } from '../../../../src/data/check/perceptual-hash.ts';
import { RandomStream } from '../../../../src/util/random.ts';

const flipped = ({ high, low }: PerceptualHash, bits: readonly number[]): PerceptualHash => {
  const words = [high, low];
  for (const bit of bits) words[bit >> 5] = ((words[bit >> 5] as number) ^ (1 << (bit & 31))) >>> 0;
  return { high: words[0] as number, low: words[1] as number };
};

const random = new RandomStream('near duplicates');
const nameOf = async (image: number): Promise<string> => `${image}`;

test('groups of near duplicates are those of comparing each image with the first of every group', async () => {
  const originals = Array.from({ length: 40 }, () => ({ high: random.uint32(), low: random.uint32() }));
  const images = Array.from({ length: 600 }, () => {
    const bits = Array.from({ length: random.integer(7) }, () => random.integer(64));
    return flipped(originals[random.integer(40)] as PerceptualHash, bits);
  });
  const slow: { hash: PerceptualHash; files: string[] }[] = [];
  const near = new NearlySame();
  for (const [i, hash] of images.entries()) {
    const group = slow.find((other) => hashDistance(hash, other.hash) <= MAX_DISTANCE);
    if (group) group.files.push(`${i}`);
    else slow.push({ hash, files: [`${i}`] });
    const copy = await near.add(i, `${i}`, hash, nameOf);
    assert.equal(copy?.first, group && Number(group.files[0]));
  }
  const groups = slow.map(({ files }) => files).filter(({ length }) => length > 1);
  assert.ok(groups.length > 40);
  assert.deepEqual(near.groups.first, groups);
  assert.equal(near.groups.images, images.length - slow.length);
  assert.deepEqual(near.limits, []);
});

test('copies are found as by a map of all contents; beyond the limit, those of the first', async () => {
  const numbers = Array.from({ length: 5000 }, () => random.integer(2500));
  for (const max of [Number.POSITIVE_INFINITY, 100]) {
    const firsts = new Map<number, number>();
    const same = new SameContents(max);
    let beyond = 0;
    for (const [i, contents] of numbers.entries()) {
      const hash = createHash('sha256').update(`${contents}`).digest();
      const copy = await same.add(i, `${i}`, hash, nameOf);
      assert.equal(copy?.first, firsts.get(contents));
      if (copy) continue;
      if (firsts.size < max) firsts.set(contents, i);
      else beyond++;
    }
    assert.equal(same.groups.images, numbers.length - firsts.size - beyond);
    assert.equal(same.limits.length, Number(beyond > 0));
  }
});

test('the distance is the number of different bits', () => {
  const hash = { high: 0xdeadbeef, low: 0x01234567 };
  for (let count = 0; count <= 64; count++) {
    const bits = Array.from({ length: count }, (_, i) => (i * 37) % 64);
    assert.equal(hashDistance(hash, flipped(hash, bits)), count);
  }
});
