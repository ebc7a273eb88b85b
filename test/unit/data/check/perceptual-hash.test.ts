import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import sharp from 'sharp';
import { hashDistance, perceptualHash } from '../../../../src/data/check/perceptual-hash.ts';
import { decodeBuffer } from '../../../../src/data/decode.ts';
import { noise, plain } from '../../../support/images.ts';

/** Made by scripts/fixtures/perceptual_hash.py. */
const CASES = JSON.parse(
  readFileSync(new URL('./fixtures/perceptual-hash.json', import.meta.url), 'utf8'),
) as { levels: string; hash: string }[];

const hex = (word = 0): string => word.toString(16).padStart(8, '0');

test('hashes are those of imagehash.phash', () => {
  for (const { levels, hash } of CASES) {
    const grey = Buffer.from(levels, 'base64');
    const found = perceptualHash(
      Uint8Array.from({ length: grey.length * 3 }, (_, i) => grey[Math.floor(i / 3)] as number),
    );
    assert.equal(hex(found?.high) + hex(found?.low), hash);
  }
});

test('an image that is reduced, compressed or brightened is near itself; others are not, and a plain one has no hash', async () => {
  const hashOf = async (data: Buffer) =>
    perceptualHash((await decodeBuffer(data, { size: 32, crop: 'none' })).pixels);
  const levels = Buffer.from(CASES[6]?.levels as string, 'base64');
  const image = await sharp(levels, { raw: { width: 32, height: 32, channels: 1 } })
    .resize(300, 200, { fit: 'fill' })
    .png()
    .toBuffer();
  const original = await hashOf(image);
  assert.ok(original);
  for (const changed of [
    await sharp(image).resize(90, 60).jpeg({ quality: 40 }).toBuffer(),
    await sharp(image).modulate({ brightness: 1.1 }).png().toBuffer(),
  ]) {
    const hash = await hashOf(changed);
    assert.ok(hash && hashDistance(original, hash) <= 4);
  }
  const other = await hashOf(await noise(64, 64, 'png'));
  assert.ok(other && hashDistance(original, other) > 12);
  assert.equal(await hashOf(await plain(64, 64, '#357').png().toBuffer()), undefined);
});
