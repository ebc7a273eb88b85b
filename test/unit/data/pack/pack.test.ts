import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import sharp from 'sharp';
import { decodeImage } from '../../../../src/data/decode.ts';
import type { ByteRange, CaptionedImage } from '../../../../src/data/image.ts';
import {
  type PackManifest,
  type PackSettings,
  packedCounts,
  shardName,
} from '../../../../src/data/pack/manifest.ts';
import { packData } from '../../../../src/data/pack/pack.ts';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { readImages } from '../../../../src/data/sources/resolve.ts';
import { SILENT } from '../../../../src/util/progress.ts';
import { keepingLogger, noise, plain, temporaryFolder, write } from '../../../support/images.ts';

const PLAIN: PackSettings = {
  format: 'jpeg',
  quality: 95,
  deduplicate: 'none',
  captionsOnly: false,
  shardSize: 3,
};
const { log } = keepingLogger();
const root = await temporaryFolder();
const data = join(root, 'data');
before(async () => {
  for (let i = 0; i < 9; i++) {
    const grey = 20 * i;
    const image = plain(40 + i, 30, `rgb(${grey},${grey},255)`).composite([
      {
        input: await plain(9 + i, 11, '#fff')
          .png()
          .toBuffer(),
        left: i,
        top: i,
      },
    ]);
    await write(join(data, `i${i}.png`), await image.png().toBuffer());
    if (i !== 4) await write(join(data, `i${i}.txt`), `image ${i}\nthe number ${i}\n`);
  }
  await write(join(data, 'i2-copy.png'), readFileSync(join(data, 'i2.png')));
  await write(join(data, 'i6-near.jpg'), await sharp(join(data, 'i6.png')).jpeg({ quality: 95 }).toBuffer());
  await write(join(data, 'cut.png'), (await noise(30, 30, 'png')).subarray(0, 900));
});

const pack = (
  out: string,
  settings: Partial<PackSettings> = {},
  more: { resume?: boolean; signal?: AbortSignal } = {},
) => {
  const { resume = false, signal = new AbortController().signal } = more;
  const options = { data, out, settings: { ...PLAIN, ...settings }, resume, faults: new Faults(log) };
  return packData(options, { log, progress: SILENT, signal });
};

const contents = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString('base64')]),
  );

function bytesOf({ region }: CaptionedImage): Buffer {
  const { path, offset, length } = region as ByteRange;
  return readFileSync(path).subarray(offset, offset + length);
}

/** The captions and pixels of all images, in order. */
async function examples(source: string) {
  const images = await readImages(source, { captions: 'optional', faults: new Faults(log) });
  const usable = images.filter(({ path }) => !path.includes('cut'));
  return Promise.all(
    usable.map(async (image) => ({
      captions: image.captions,
      pixels: Buffer.from(await decodeImage(image, { size: 16, crop: 'center' })),
    })),
  );
}

test('a packed folder has the images, byte for byte, and the captions of its source', async () => {
  const out = join(root, 'whole');
  const manifest = await pack(out);
  assert.deepEqual(await examples(out), await examples(data));
  assert.deepEqual(
    { images: manifest.images, captioned: manifest.captioned, unusable: manifest.unusable },
    { images: 11, captioned: 8, unusable: 1 },
  );
  assert.deepEqual(JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')), manifest);
  const [first] = await readImages(out, { captions: 'optional', faults: new Faults(log) });
  assert.deepEqual(bytesOf(first as CaptionedImage), readFileSync(join(data, 'i0.png')));
});

test('the manifest counts the images of tars that are as they were written, and of no other', async () => {
  const out = join(root, 'counted');
  await pack(out);
  const tars = [0, 1, 2, 3].map((shard) => join(out, shardName(shard)));
  assert.deepEqual(
    [...(await packedCounts(tars))],
    tars.map((path, i) => [path, i < 3 ? 3 : 2]),
  );
  writeFileSync(tars[1] as string, 'another tar');
  assert.deepEqual([...(await packedCounts(tars)).keys()], [tars[0], tars[2], tars[3]]);
  assert.equal((await packedCounts([join(data, 'x.tar')])).size, 0);
});

test('larger images get the size, copies and images without a caption are left out', async () => {
  const counts = async (settings: Partial<PackSettings>) => {
    const out = join(root, `settings-${JSON.stringify(settings).replace(/\W/g, '')}`);
    const { images, resized, duplicates, uncaptioned } = await pack(out, settings);
    return { images, resized, duplicates, uncaptioned, out };
  };
  const small = await counts({ size: 16, deduplicate: 'exact' });
  assert.deepEqual([small.images, small.resized, small.duplicates], [10, 10, 1]);
  for (const image of await readImages(small.out, { captions: 'optional', faults: new Faults(log) })) {
    const { height, format } = await sharp(bytesOf(image)).metadata();
    assert.deepEqual([height, format], [16, 'jpeg']);
  }
  const near = await counts({ deduplicate: 'near', captionsOnly: true });
  assert.equal(near.uncaptioned, 4);
  assert.equal((await counts({ deduplicate: 'near' })).duplicates >= 2, true);
  // No image is made larger.
  assert.equal((await counts({ size: 30 })).resized, 0);
});

describe('an interrupted run', () => {
  /** Stops after `after` images have been taken. */
  async function interrupted(out: string, after: number, settings: Partial<PackSettings>, resume: boolean) {
    const controller = new AbortController();
    let updates = 0;
    const progress = {
      ...SILENT,
      start() {},
      stop() {},
      note() {},
      update: () => void (++updates === after && controller.abort()),
    };
    const options = { data, out, settings: { ...PLAIN, ...settings }, resume, faults: new Faults(log) };
    await assert.rejects(packData(options, { log, progress, signal: controller.signal }), {
      code: 'E_INTERRUPTED',
    });
  }

  for (const settings of [{}, { deduplicate: 'near', size: 20 }] as const)
    test(`resumed, equals one that was not: ${JSON.stringify(settings)}`, async () => {
      const whole = join(root, `uninterrupted-${'size' in settings}`);
      await pack(whole, settings);
      for (const stops of [[2], [4], [7, 9], [11]]) {
        const out = join(root, `resumed-${'size' in settings}-${stops.join('-')}`);
        for (const [i, stop] of stops.entries()) await interrupted(out, stop, settings, i > 0);
        assert.equal(existsSync(out), false);
        await pack(out, settings, { resume: true });
        assert.deepEqual(contents(out), contents(whole));
        assert.equal(existsSync(`${out}.partial`), false);
      }
    });

  test('is not mixed with another source, other settings, or captions that have changed', async () => {
    const out = join(root, 'mixed');
    await interrupted(out, 8, {}, false);
    await assert.rejects(pack(out), { code: 'E_FOLDER_NOT_EMPTY' });
    await assert.rejects(pack(out, { size: 9 }, { resume: true }), { code: 'E_LAYOUT_DIFFERS' });
    const before = readFileSync(join(data, 'i0.txt'));
    writeFileSync(join(data, 'i0.txt'), 'another');
    await assert.rejects(pack(out, {}, { resume: true }), { code: 'E_LAYOUT_DIFFERS' });
    writeFileSync(join(data, 'i0.txt'), before);
    const manifest: PackManifest = await pack(out, {}, { resume: true });
    assert.equal(manifest.images, 11);
    await assert.rejects(pack(out, {}, { resume: true }), { code: 'E_FOLDER_NOT_EMPTY' });
  });

  test('before its first shard leaves nothing', async () => {
    const out = join(root, 'nothing');
    await interrupted(out, 1, {}, false);
    assert.deepEqual([existsSync(out), existsSync(`${out}.partial`)], [false, false]);
  });
});
