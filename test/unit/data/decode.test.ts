import assert from 'node:assert/strict';
import { chmod, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { type DecodeOptions, decodeImage } from '../../../src/data/decode.ts';
import { ImageFault } from '../../../src/data/image.ts';
import { RandomStream } from '../../../src/util/random.ts';
import { halves, noise, pixel, plain, temporaryFolder, write } from '../../support/images.ts';

const folder = await temporaryFolder();
const isRoot = process.getuid?.() === 0;
const SIZE = 16;

async function decode(
  name: string,
  data: Uint8Array | Promise<Buffer>,
  options: Partial<DecodeOptions> = {},
) {
  const path = join(folder, name);
  await write(path, await data);
  const pixels = await decodeImage(path, { size: SIZE, crop: 'center', ...options });
  assert.equal(pixels.length, SIZE * SIZE * 3);
  return pixels;
}

function near(actual: number[], expected: number[], tolerance = 6): void {
  actual.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]!) <= tolerance, `${actual} is not near ${expected}`);
  });
}

test('every format decodes to 8-bit RGB, also grey, 16-bit and palette images', async () => {
  const red = plain(40, 30, '#e01020');
  for (const format of ['png', 'jpeg', 'webp', 'avif', 'tiff', 'gif'] as const)
    near(
      pixel(await decode(`f.${format}`, red.clone().toFormat(format).toBuffer()), SIZE, 8, 8),
      [224, 16, 32],
      10,
    );
  near(
    pixel(await decode('grey.png', red.clone().greyscale().png().toBuffer()), SIZE, 8, 8),
    [115, 115, 115],
    30,
  );
  const deep = red.clone().toColourspace('rgb16').png().toBuffer();
  assert.equal((await sharp(await deep).metadata()).depth, 'ushort');
  near(pixel(await decode('deep.png', deep), SIZE, 8, 8), [224, 16, 32]);
  near(
    pixel(await decode('palette.png', red.clone().png({ palette: true }).toBuffer()), SIZE, 8, 8),
    [224, 16, 32],
  );
});

test('CMYK is converted to RGB', async () => {
  const cmyk = plain(40, 40, '#f0f000').toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer();
  assert.equal((await sharp(await cmyk).metadata()).space, 'cmyk');
  const [red, green, blue] = pixel(await decode('cmyk.jpg', cmyk), SIZE, 8, 8) as [number, number, number];
  assert.ok(red > 200 && green > 200 && blue < 100, `${red} ${green} ${blue}`);
});

test('transparency is flattened onto white', async () => {
  const clear = sharp({
    create: { width: 20, height: 20, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } },
  });
  for (const format of ['png', 'webp'] as const)
    near(
      pixel(await decode(`clear.${format}`, clear.clone().toFormat(format).toBuffer()), SIZE, 3, 3),
      [255, 255, 255],
    );
  const half = sharp({
    create: { width: 20, height: 20, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0.5 } },
  });
  near(pixel(await decode('half.png', half.png().toBuffer()), SIZE, 3, 3), [127, 127, 127]);
});

test('EXIF orientation is applied with every crop', async () => {
  // Stored lying: red left, blue right. Orientation 6 turns it clockwise: red on top.
  const turned = await halves(60, 40).jpeg({ quality: 95 }).withMetadata({ orientation: 6 }).toBuffer();
  for (const crop of ['center', 'none', 'random'] as const) {
    const random = new RandomStream('turn');
    const pixels = await decode('turned.jpg', turned, { crop, random, cropScale: 0.95 });
    near(pixel(pixels, SIZE, 8, 1), [254, 0, 0], 12);
    near(pixel(pixels, SIZE, 8, 14), [0, 0, 254], 12);
  }
});

test('all eight orientations are applied as sharp applies them', async () => {
  const square = await noise(SIZE, SIZE, 'png');
  for (let orientation = 1; orientation <= 8; orientation++) {
    const turned = await sharp(square).withMetadata({ orientation }).png().toBuffer();
    const expected = await sharp(turned).autoOrient().raw().toBuffer();
    assert.deepEqual(Buffer.from(await decode('turned.png', turned)), expected, `orientation ${orientation}`);
  }
});

test('crop center keeps the middle square, and none squeezes the whole image', async () => {
  const wide = await halves(80, 20, 0.75).png().toBuffer(); // the middle square, 30 … 50, is all red
  const middle = await decode('wide.png', wide);
  for (const x of [0, 8, 15]) near(pixel(middle, SIZE, x, 8), [255, 0, 0]);
  const whole = await decode('wide.png', wide, { crop: 'none' });
  near(pixel(whole, SIZE, 9, 8), [255, 0, 0], 20);
  near(pixel(whole, SIZE, 14, 8), [0, 0, 255]);
});

test('reduction does not alias: fine stripes become their mean', async () => {
  const side = 256;
  const data = Buffer.alloc(side * side * 3);
  for (let i = 0; i < data.length; i++) data[i] = Math.floor(i / 3) % 2 === 0 ? 255 : 0;
  const stripes = await sharp(data, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toBuffer();
  near(pixel(await decode('stripes.png', stripes), SIZE, 7, 7), [127, 127, 127], 3);
});

/** Where crops of an image of 120 × 80 lie, in its pixels. */
async function drawnCrops(options: { crop: 'random' | 'published'; cropScale?: number }) {
  // The red channel says the column, the green one the row.
  const [width, height] = [120, 80];
  const data = Buffer.alloc(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    data[3 * i] = (i % width) * 2;
    data[3 * i + 1] = Math.floor(i / width) * 2;
  }
  const ramp = await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
  const crops: Record<'side' | 'left' | 'right' | 'top' | 'bottom', number>[] = [];
  for (let i = 0; i < 150; i++) {
    const draw = () => decode('ramp.png', ramp, { ...options, random: new RandomStream('crop', i) });
    const pixels = await draw();
    if (i === 0) assert.deepEqual(await draw(), pixels);
    const [[left, top], [right, bottom]] = [pixel(pixels, SIZE, 0, 0), pixel(pixels, SIZE, 15, 15)].map(
      (p) => [p[0]! / 2, p[1]! / 2],
    ) as [number[], number[]];
    // Centres of the outer pixels are 15/16 of the side apart.
    const [side, high] = [((right! - left!) * 16) / 15, ((bottom! - top!) * 16) / 15];
    assert.ok(Math.abs(side - high) < 5, `square: ${side} × ${high}`);
    crops.push({ side, left: left!, right: right!, top: top!, bottom: bottom! });
  }
  const range = (of: (crop: (typeof crops)[number]) => number): [number, number] => [
    Math.min(...crops.map(of)),
    Math.max(...crops.map(of)),
  ];
  return { side: range(({ side }) => side), range };
}

test('random crops have any position and the sides of cropScale, and repeat for a stream', async () => {
  const { side, range } = await drawnCrops({ crop: 'random', cropScale: 0.5 });
  assert.ok(side[0] > 38 && side[1] < 83, `${side}`);
  assert.ok(side[0] < 45 && side[1] > 75, `${side}`);
  assert.ok(range(({ left }) => left)[0] < 8 && range(({ right }) => right)[1] > 110);
});

test('published crops are 8/12 to 8/9 of the shorter side at any position, and repeat for a stream', async () => {
  const { side, range } = await drawnCrops({ crop: 'published' });
  // 80 pixels are reduced to 18 … 24, of which 16 are kept.
  assert.ok(side[0] > 51 && side[0] < 57 && side[1] > 68 && side[1] < 73, `${side}`);
  assert.ok(range(({ left }) => left)[0] < 8 && range(({ right }) => right)[1] > 110);
  assert.ok(range(({ top }) => top)[0] < 5 && range(({ bottom }) => bottom)[1] > 74);
});

test('a published crop enlarges an image below 9/8 of the size', async () => {
  const small = await plain(20, 12, '#0f0').png().toBuffer();
  const pixels = await decode('small.png', small, { crop: 'published', random: new RandomStream(3) });
  near(pixel(pixels, SIZE, 8, 8), [0, 255, 0], 1);
});

test('an image of fewer pixels than codes is a fault that names both sizes', async () => {
  const small = await plain(40, 7, '#0f0').png().toBuffer();
  await decode('low.png', small, { grid: 7 });
  await assert.rejects(
    decode('low.png', small, { grid: 8 }),
    (error: Error) =>
      error instanceof ImageFault &&
      error.message === 'only 40 × 7 pixels, fewer than the 8 × 8 codes it would become',
  );
});

test('a crop of scale 1 in a square image is the image', async () => {
  const square = await noise(16, 16, 'png');
  const pixels = await decode('square.png', square, {
    crop: 'random',
    cropScale: 1,
    random: new RandomStream(1),
  });
  assert.deepEqual(Buffer.from(pixels), await sharp(square).raw().toBuffer());
});

test('an image 20,000 pixels wide is read with bounded memory', async () => {
  const wide = await halves(20_000, 1000).jpeg({ quality: 50 }).toBuffer();
  const before = process.memoryUsage().rss;
  const png = await halves(20_000, 1000).png().toBuffer();
  for (const [name, data] of [
    ['wide.jpg', wide],
    ['wide2.png', png],
  ] as const) {
    const whole = await decode(name, data, { crop: 'none' });
    near(pixel(whole, SIZE, 2, 8), [254, 0, 0], 12);
    near(pixel(whole, SIZE, 13, 8), [0, 0, 254], 12);
    near(pixel(await decode(name, data), SIZE, 2, 8), [254, 0, 0], 40);
    await decode(name, data, { crop: 'random', random: new RandomStream(1) });
  }
  const used = (process.memoryUsage().rss - before) / 2 ** 20;
  assert.ok(used < 400, `${used} MiB`); // the pixels alone, three images of them, are 180 MiB
});

/** A small PNG whose header claims to be larger. */
async function claiming(width: number, height: number, progressive: boolean): Promise<Buffer> {
  const png = await plain(8, 8, '#fff').png({ progressive }).toBuffer();
  png.writeUInt32BE(width, 16);
  png.writeUInt32BE(height, 20);
  png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
  return png;
}

test('images that do not fit in memory are faults before they are decoded', async () => {
  await assert.rejects(decode('huge.png', claiming(30_000, 30_000, false)), /more than 480000000 pixels/);
  await assert.rejects(decode('huge.png', claiming(20_000, 6_000, true)), /progressive, and more than/);
});

const BAD: Record<string, { data: () => Promise<Uint8Array>; reason: RegExp }> = {
  'one.png': { data: () => plain(1, 1, '#fff').png().toBuffer(), reason: /only 1 × 1 pixels/ },
  'thin.png': { data: () => plain(300, 2, '#fff').png().toBuffer(), reason: /only 300 × 2 pixels/ },
  'text.png': { data: async () => Buffer.from('this is text'), reason: /not an image/ },
  'empty.png': { data: async () => Buffer.alloc(0), reason: /not an image/ },
  'cut.png': {
    data: async () => (await noise(64, 64, 'png')).subarray(0, 5000),
    reason: /truncated or damaged/,
  },
  'cut.jpg': {
    data: async () => (await noise(64, 64, 'jpeg')).subarray(0, 2500),
    reason: /truncated or damaged/,
  },
  'head.jpg': {
    data: async () => (await noise(64, 64, 'jpeg')).subarray(0, 20),
    reason: /truncated|not an image/,
  },
};

for (const [name, { data, reason }] of Object.entries(BAD)) {
  test(`${name} is a fault with a reason`, async () => {
    await assert.rejects(decode(name, await data()), (error: Error) => {
      assert.ok(error instanceof ImageFault);
      assert.match(error.message, reason);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  });
}

test('a missing file, a broken link and a folder are faults', async () => {
  await symlink(join(folder, 'nowhere.png'), join(folder, 'link.png'));
  for (const name of ['missing.png', 'link.png', '.'])
    await assert.rejects(decodeImage(join(folder, name), { size: 8, crop: 'none' }), ImageFault);
});

test('a file without read permission is a fault', { skip: isRoot }, async () => {
  const path = join(folder, 'shut.png');
  await write(path, await plain(8, 8, '#fff').png().toBuffer());
  await chmod(path, 0);
  await assert.rejects(decodeImage(path, { size: 8, crop: 'none' }), /no permission/);
});
