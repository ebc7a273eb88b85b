import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_DISTANCE, nearDuplicates } from '../../../../src/data/check/near-duplicates.ts';
import { hashDistance, type PerceptualHash } from '../../../../src/data/check/perceptual-hash.ts';
import { RandomStream } from '../../../../src/util/random.ts';

const flipped = ({ high, low }: PerceptualHash, bits: readonly number[]): PerceptualHash => {
  const words = [high, low];
  for (const bit of bits) words[bit >> 5] = ((words[bit >> 5] as number) ^ (1 << (bit & 31))) >>> 0;
  return { high: words[0] as number, low: words[1] as number };
};

test('groups are those of comparing each image with the first of every group', () => {
  const random = new RandomStream('near duplicates');
  const originals = Array.from({ length: 40 }, () => ({ high: random.uint32(), low: random.uint32() }));
  const images = Array.from({ length: 600 }, (_, i) => {
    const bits = Array.from({ length: random.integer(7) }, () => random.integer(64));
    return { file: `${i}`, hash: flipped(originals[random.integer(40)] as PerceptualHash, bits) };
  });
  const slow: { hash: PerceptualHash; files: string[] }[] = [];
  for (const { file, hash } of images) {
    const group = slow.find((other) => hashDistance(hash, other.hash) <= MAX_DISTANCE);
    if (group) group.files.push(file);
    else slow.push({ hash, files: [file] });
  }
  const expected = slow.map(({ files }) => files).filter(({ length }) => length > 1);
  assert.ok(expected.length > 40);
  assert.deepEqual(nearDuplicates(images), expected);
});

test('the distance is the number of different bits', () => {
  const hash = { high: 0xdeadbeef, low: 0x01234567 };
  for (let count = 0; count <= 64; count++) {
    const bits = Array.from({ length: count }, (_, i) => (i * 37) % 64);
    assert.equal(hashDistance(hash, flipped(hash, bits)), count);
  }
});
