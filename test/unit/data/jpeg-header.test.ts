// JPEG headers against sharp.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { jpegHeader } from '../../../src/data/jpeg-header.ts';
import { halves, noise } from '../../support/images.ts';

const image = halves(37, 21);

test('the header of a plain JPEG is what sharp says of it', async () => {
  for (const jpeg of [
    await image.clone().jpeg().toBuffer(),
    await image.clone().jpeg({ progressive: true, mozjpeg: true }).toBuffer(),
    await image.clone().jpeg({ chromaSubsampling: '4:4:4' }).toBuffer(),
    await image.clone().greyscale().jpeg().toBuffer(),
    await noise(300, 200, 'jpeg'),
  ]) {
    const { format, width, height, space, channels, depth, hasProfile, isProgressive } =
      await sharp(jpeg).metadata();
    const expected = { format, width, height, space, channels, depth, hasProfile, isProgressive };
    assert.deepEqual(jpegHeader(jpeg), expected);
    assert.deepEqual(jpegHeader(new Uint8Array([0, ...jpeg]).subarray(1)), expected);
  }
});

test('what is no plain JPEG, or no whole header, is left to sharp', async () => {
  const jpeg = await image.clone().jpeg().toBuffer();
  const scan = jpeg.indexOf(Buffer.of(0xff, 0xda));
  for (const [name, data] of Object.entries({
    empty: Buffer.alloc(0),
    png: await image.clone().png().toBuffer(),
    exif: await image.clone().withMetadata({ orientation: 6 }).jpeg().toBuffer(),
    profile: await image.clone().withIccProfile('p3').jpeg().toBuffer(),
    cmyk: await image.clone().toColourspace('cmyk').jpeg().toBuffer(),
    filled: Buffer.concat([jpeg.subarray(0, 2), Buffer.of(0xff), jpeg.subarray(2)]),
  }))
    assert.equal(jpegHeader(data), undefined, name);
  for (let end = 0; end < scan; end++) assert.equal(jpegHeader(jpeg.subarray(0, end)), undefined);
});
