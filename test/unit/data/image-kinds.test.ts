// Images that other programs wrote (scripts/fixtures/sources.py): BMP as Pillow reads it, and files that are named for
// what they are.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { decodeBmp } from '../../../src/data/bmp.ts';
import { decodeBuffer, decodeImage } from '../../../src/data/decode.ts';
import { ImageFault } from '../../../src/data/image.ts';
import { plain, temporaryFolder, write } from '../../support/images.ts';

const FIXTURES = new URL('fixtures/sources/', import.meta.url).pathname;
const fixture = (name: string): Buffer => readFileSync(join(FIXTURES, name));
const whole = { size: 8, crop: 'none' } as const;

const expected = JSON.parse(fixture('expected.json').toString()) as Record<string, number[]>;
for (const [name, pixels] of Object.entries(expected)) {
  test(`the pixels of ${name} are those that Pillow reads`, async () => {
    const { pixels: read, width, height, channels } = decodeBmp(fixture(name), 1000);
    assert.deepEqual([width, height, channels], [6, 5, 3]);
    assert.ok(read.every((value, i) => Math.abs(value - pixels[i]!) <= 1));
    const { info } = await decodeBuffer(fixture(name), { size: 5, crop: 'center' });
    assert.deepEqual(info, { format: 'bmp', width: 6, height: 5 });
  });
}

test('alpha is read where the masks of a BMP have it, and laid on white', async () => {
  const header = Buffer.alloc(14 + 108);
  header.write('BM');
  header.writeUInt32LE(14 + 108, 10);
  for (const [value, at] of [
    [108, 14],
    [4, 18],
    [4, 22],
    [6, 30],
    [0xff, 54],
    [0xff00, 58],
    [0xff0000, 62],
    [0xff000000, 66],
  ] as const)
    header.writeUInt32LE(value, at);
  header.writeUInt16LE(32, 28);
  const file = Buffer.concat([header, Buffer.alloc(4 * 4 * 4, Buffer.of(255, 0, 0, 128))]);
  assert.deepEqual([...decodeBmp(file, 99).pixels.subarray(0, 4)], [255, 0, 0, 128]);
  const { pixels } = await decodeBuffer(file, { size: 4, crop: 'none' });
  assert.deepEqual([...pixels.subarray(0, 3)], [255, 127, 127]);
});

test('a BMP cut at any byte is a fault, and so is one of more pixels than are allowed', () => {
  const file = fixture('rgb24.bmp');
  for (let length = 0; length < file.length - 2; length++)
    assert.throws(() => decodeBmp(file.subarray(0, length), 1000), { kind: 'damaged-image' });
  assert.throws(() => decodeBmp(file, 29), { kind: 'image-size' });
  const wide = Buffer.from(file);
  wide.writeInt32LE(2 ** 31 - 1, 18);
  assert.throws(() => decodeBmp(wide, 1000), { kind: 'image-size' });
});

const OTHERS: Readonly<Record<string, readonly [kind: string, reason: RegExp, data?: Buffer]>> = {
  'float.tif': ['image-format', /floating-point/],
  'int32.tif': ['image-format', /values of type/],
  'lab.tif': ['image-format', /Lab colours/],
  'channels5.tif': ['image-format', /5 channels/],
  'heic.jpg': ['image-format', /HEIC/],
  'pointer.jpg': [
    'not-an-image',
    /git lfs pull/,
    Buffer.from(`version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 5\n`),
  ],
  'page.jpg': ['not-an-image', /web page/, Buffer.from('\n<!DOCTYPE html><html><body>404</body></html>')],
  'packed.jpg': ['not-an-image', /gzip/, gzipSync('x')],
  'drawing.png': ['image-format', /SVG/, Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')],
  'next.jpg': ['image-format', /JPEG XL/, Buffer.from([0xff, 0x0a, 0, 0])],
  'grey.png': ['image-format', /PPM/, Buffer.from('P5 8 8 255\n')],
};
for (const [name, [kind, reason, data]] of Object.entries(OTHERS)) {
  test(`${name} is named for what it is, and not called damaged`, async () => {
    await assert.rejects(decodeBuffer(data ?? fixture(name), whole), (error: ImageFault) => {
      assert.ok(error instanceof ImageFault);
      assert.equal(error.kind, kind);
      assert.match(error.message, reason);
      return true;
    });
  });
}

test('16-bit TIFF keeps its ramp, and a PNG called .jpg is read', async () => {
  const { pixels } = await decodeBuffer(fixture('uint16.tif'), whole);
  const row = Array.from({ length: 8 }, (_, x) => pixels[3 * x]!);
  assert.ok(row[0]! < 8 && row[7]! > 247 && row.every((value, x) => x === 0 || value > row[x - 1]!));
  assert.equal((await decodeBuffer(await plain(8, 8, '#123').png().toBuffer(), whole)).info.format, 'png');
});

test('of an animation, the first frame is read', async () => {
  const frames = await Promise.all(['#f00', '#00f'].map((colour) => plain(8, 8, colour).png().toBuffer()));
  for (const format of ['gif', 'webp'] as const) {
    const data = await sharp(frames, { join: { animated: true } })
      .toFormat(format, { lossless: true })
      .toBuffer();
    const { pixels, info } = await decodeBuffer(data, whole);
    assert.deepEqual([info.width, info.height], [8, 8]);
    assert.deepEqual([...pixels.subarray(0, 3)], [255, 0, 0], format);
  }
});

test('a file is found under the other Unicode form of its name; what is no file is a fault', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, `${'é'.normalize('NFD')}.png`), await plain(8, 8, '#fff').png().toBuffer());
  const pixels = await decodeImage(join(folder, `${'é'.normalize('NFC')}.png`), whole);
  assert.equal(pixels[0], 255);
  await mkdir(join(folder, 'folder.png'));
  await assert.rejects(decodeImage(join(folder, 'folder.png'), whole), { kind: 'unreadable-file' });
  await assert.rejects(decodeImage('/dev/zero', whole), { kind: 'unreadable-file' });
});
