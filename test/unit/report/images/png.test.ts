import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import sharp from 'sharp';
import {
  encodePng,
  pngSize,
  readPngMetadata,
  safeFileName,
  writePng,
} from '../../../../src/report/images/png.ts';
import { DataError } from '../../../../src/util/errors.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mm-png-'));
});
after(() => rm(folder, { recursive: true }));

const pixels = Uint8Array.from({ length: 5 * 4 * 3 }, (_, index) => (index * 37) % 256);

test('pixels and metadata are read back, by other readers too', async () => {
  const path = join(folder, 'a', 'image.png');
  const metadata = {
    prompt: 'دائرة 🙂 "red"\ncircle',
    seed: '7',
    settings: '{"temperature":1}',
    accent: 'café',
    empty: '',
  };
  await writePng(path, pixels, 5, 4, { metadata });
  assert.deepEqual(await readPngMetadata(path), metadata);
  const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
  assert.deepEqual([info.width, info.height, info.channels], [5, 4, 3]);
  assert.deepEqual(new Uint8Array(data), pixels);
  const comments = (await sharp(path).metadata()).comments ?? [];
  assert.deepEqual(Object.fromEntries(comments.map(({ keyword, text }) => [keyword, text])), metadata);
});

test('a scale copies each pixel to a square', async () => {
  const png = await encodePng(pixels, 5, 4, { scale: 3 });
  assert.deepEqual(pngSize(png), { width: 15, height: 12 });
  const data = await sharp(png).raw().toBuffer();
  for (let y = 0; y < 12; y++) {
    for (let x = 0; x < 15; x++) {
      const source = (Math.floor(y / 3) * 5 + Math.floor(x / 3)) * 3;
      assert.equal(data[(y * 15 + x) * 3], pixels[source]);
    }
  }
});

test('a file that is cut short, altered or no PNG is a data error at its path', async () => {
  const whole = await encodePng(pixels, 5, 4, { metadata: { prompt: 'a circle' } });
  const cases: [string, Buffer][] = [
    ['cut.png', whole.subarray(0, whole.length - 20)],
    ['header.png', whole.subarray(0, 10)],
    ['text.png', Buffer.from('not an image')],
    ['flipped.png', Buffer.from(whole.toString('latin1').replace('a circle', 'a square'), 'latin1')],
  ];
  for (const [name, bytes] of cases) {
    const path = join(folder, name);
    await writeFile(path, bytes);
    await assert.rejects(readPngMetadata(path), (error: unknown) => {
      assert.ok(error instanceof DataError, name);
      assert.equal(error.where, path);
      return true;
    });
  }
  await assert.rejects(readPngMetadata(join(folder, 'missing.png')), {
    name: 'DataError',
    code: 'E_UNREADABLE',
  });
});

test('pixels of another size and impossible keywords are refused before anything is written', async () => {
  const path = join(folder, 'refused.png');
  await assert.rejects(writePng(path, pixels, 5, 5), {
    name: 'RangeError',
    message: /\b5 × 5 × 3\b.*\b60\b/,
  });
  for (const keyword of ['', ' prompt', 'é', 'k'.repeat(80), 'a\0b'])
    await assert.rejects(writePng(path, pixels, 5, 4, { metadata: { [keyword]: 'x' } }), RangeError);
  await assert.rejects(readFile(path));
});

test('file names from prompts are safe, bounded, readable and distinct', () => {
  assert.equal(safeFileName('A small red circle!', 7), '0007-a-small-red-circle');
  assert.equal(safeFileName('../../etc/passwd\0', 0), '0000-etc-passwd');
  assert.equal(safeFileName('CON', 1), '0001-con');
  assert.equal(safeFileName('', 12), '0012');
  assert.equal(safeFileName('\u202egnp.exe', 3), '0003-gnp-exe');
  assert.equal(safeFileName('دائرة حمراء', 4), '0004-دائرة-حمراء');
  assert.equal(safeFileName('une fête 👩‍👩‍👧 🇫🇷 👍🏽', 5), '0005-une-fête-👩‍👩‍👧-🇫🇷-👍🏽');
  assert.equal(safeFileName('e\u0301', 6), '0006-é');
  assert.notEqual(safeFileName('Red', 1), safeFileName('red', 2));
});

test('long names are cut between characters, within 100 bytes', () => {
  for (const text of ['a'.repeat(300), '👩‍👩‍👧'.repeat(50), 'दायरा '.repeat(60), 'red - '.repeat(60)]) {
    const name = safeFileName(text, 123456);
    assert.ok(Buffer.byteLength(name) <= 100 && Buffer.byteLength(name) > 70, name);
    assert.doesNotMatch(name, /\p{Surrogate}/u);
    assert.doesNotMatch(name, /[-\u200d]$/);
    assert.match(name, /^123456-/);
  }
});
