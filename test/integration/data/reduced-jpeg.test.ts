// JPEG files decoded by libtensorflow against sharp.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { type DecodeOptions, decodeBuffer } from '../../../src/data/decode.ts';
import { decodeReducedJpeg } from '../../../src/data/reduced-jpeg.ts';
import { RandomStream } from '../../../src/util/random.ts';

/** Smooth noise with fine noise on it. */
async function photograph(width: number, height: number): Promise<Buffer> {
  const random = new RandomStream('photograph');
  const coarse = Buffer.from(Array.from({ length: 32 * 32 * 3 }, () => random.integer(256)));
  const wide = await sharp(coarse, { raw: { width: 32, height: 32, channels: 3 } })
    .resize(width, height, { fit: 'fill' })
    .raw()
    .toBuffer();
  return Buffer.from(wide.map((level) => Math.min(255, level + random.integer(16))));
}

const [WIDTH, HEIGHT] = [640, 512];
const image = sharp(await photograph(WIDTH, HEIGHT), { raw: { width: WIDTH, height: HEIGHT, channels: 3 } });
const jpeg = await image.clone().jpeg({ quality: 90 }).toBuffer();
/** The same pixels, which no decoder reduces. */
const png = await sharp(jpeg).png().toBuffer();

const center = { size: 128, crop: 'center' } as const;
const decode = async (data: Uint8Array, options: DecodeOptions = center): Promise<Uint8Array> =>
  (await decodeBuffer(data, options)).pixels;
const reduced = (data: Uint8Array, options: DecodeOptions = center): Promise<Uint8Array> =>
  decode(data, { ...options, jpeg: decodeReducedJpeg });

function psnr(a: Uint8Array, b: Uint8Array): number {
  assert.equal(a.length, b.length);
  const squares = a.reduce((sum, level, i) => sum + (level - (b[i] as number)) ** 2, 0);
  return 10 * Math.log10((255 ** 2 * a.length) / squares);
}

test('a JPEG reduced while it is decoded is close to one reduced with Lanczos, at any factor', async () => {
  for (const size of [256, 200, 150, 128, 100, 64, 50]) {
    const options = { size, crop: 'center' } as const;
    const likeness = psnr(await reduced(jpeg, options), await decode(png, options));
    assert.ok(likeness > 40, `${size}: ${likeness} dB`);
  }
});

test('sides that the factor does not divide are decoded whole: no edge moves, as it does with sharp', async () => {
  const odd = await image.clone().resize(321, 257, { fit: 'fill' }).jpeg({ quality: 90 }).toBuffer();
  const options = { size: 80, crop: 'center' } as const;
  const exact = await decode(await sharp(odd).png().toBuffer(), options);
  assert.deepEqual(await reduced(odd, options), exact);
  assert.ok(psnr(await decode(odd, options), exact) < 40);
});

test('less than a factor of two, and for CLIP, the pixels are those of the whole image, bit for bit', async () => {
  const clip = { size: 80, crop: 'center', preprocessing: 'clip' } as const;
  for (const options of [{ size: 300, crop: 'center' } as const, clip])
    assert.deepEqual(await reduced(jpeg, options), await decode(png, options));
  assert.notDeepEqual(await decode(jpeg, clip), await decode(png, clip));
});

test('grey and upright as sharp has them; profiles and CMYK are left to sharp', async () => {
  const grey = await image.clone().greyscale().jpeg().toBuffer();
  assert.ok(psnr(await reduced(grey), await decode(grey)) > 38);
  const turned = await image.clone().withMetadata({ orientation: 6 }).jpeg({ quality: 90 }).toBuffer();
  assert.ok(psnr(await reduced(turned), await decode(turned)) > 38);
  for (const left of [
    await image.clone().withIccProfile('p3').jpeg().toBuffer(),
    await image.clone().toColourspace('cmyk').jpeg().toBuffer(),
  ])
    assert.deepEqual(await reduced(left), await decode(left));
});

test('images decoded at once, into their places, are those decoded one by one, damaged ones among them', async () => {
  const wide = await image.clone().resize(512, 256).jpeg().toBuffer();
  const turned = await sharp(wide).withMetadata({ orientation: 6 }).toBuffer();
  const damaged = Buffer.from(jpeg);
  damaged.fill(0xff, damaged.indexOf('ffc4', 'hex') + 5, damaged.indexOf('ffc4', 'hex') + 9); // a Huffman table
  assert.equal(await decodeReducedJpeg(damaged, 2), undefined);
  const square = await image.clone().resize(256, 256).jpeg().toBuffer();
  const files = Array.from({ length: 5 }, () => [square, jpeg, damaged, wide, turned]).flat();
  const length = center.size ** 2 * 3;
  const places = files.map(() => new Uint8Array(length));
  const decoded = await Promise.allSettled(
    files.map((data, i) => reduced(data, { ...center, place: places[i] })),
  );
  for (const [i, file] of files.entries())
    if (file === damaged) assert.equal(decoded[i]?.status, 'rejected');
    else assert.deepEqual(places[i], new Uint8Array(await reduced(file)), `image ${i}`);
});

test('a damaged JPEG is the same fault with either decoder, or the same image', async () => {
  const random = new RandomStream('damage');
  const verdict = async (decoding: Promise<Uint8Array>): Promise<string> =>
    decoding.then(
      () => 'an image',
      (error: Error) => error.message,
    );
  const verdicts = new Set<string>();
  for (let i = 0; i < 60; i++) {
    const damaged = Buffer.from(i % 2 ? jpeg : jpeg.subarray(0, random.integer(jpeg.length)));
    const at = random.integer(damaged.length);
    if (damaged.length > 0) damaged[at] = random.integer(256);
    const expected = await verdict(decode(damaged));
    assert.equal(await verdict(reduced(damaged)), expected, `damage ${i}`);
    verdicts.add(expected);
  }
  assert.ok(verdicts.size > 2);
});
