// mm data as a user calls it.

import assert from 'node:assert/strict';
import { chmod, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import tar from 'tar-stream';
import type { DataReport } from '../../src/data/check/report.ts';
import { trainBpe } from '../../src/tokenizers/train.ts';
import { noise, plain, temporaryFolder, write } from '../support/images.ts';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';

const mm = mmTogether();

const isRoot = process.getuid?.() === 0;

test('make-shapes writes captioned images and reports what it holds out', async () => {
  const out = join(await temporaryFolder(), 'shapes');
  const { code, stdout, stderr } = await mmAlone([
    'data',
    'make-shapes',
    '--out',
    out,
    '--count',
    '12',
    '--seed',
    '3',
    '--json',
  ]);
  assert.equal(code, 0, stderr);
  const { madeBy, version, ...result } = JSON.parse(stdout);
  assert.deepEqual(result, { out, seed: 3, count: 12, size: 32, heldOut: { pairs: 6, scenes: 86 } });
  assert.equal((await readdir(join(out, 'images'))).length, 24);
  assert.deepEqual(
    { madeBy, version, ...result },
    { out, ...JSON.parse(await readFile(join(out, 'about.json'), 'utf8')) },
  );

  const checked = await mmAlone(['data', 'check', out, '--json']);
  const report = JSON.parse(checked.stdout) as DataReport;
  assert.deepEqual([report.images, report.usable, report.captions.count], [12, 12, 12]);
  assert.deepEqual(report.width, { min: 32, median: 32, max: 32 });
});

test('make-shapes refuses wrong values and folders with other files', async () => {
  const out = await temporaryFolder();
  await write(join(out, 'thesis.txt'), 'years of work');
  const other = await mm(['data', 'make-shapes', '--out', out, '--count', '1']);
  assert.deepEqual([other.code, other.stdout], [2, '']);
  assert.match(other.stderr, / {2}at: .*\n {2}fix: .*--force.*\n {2}code: E_FOLDER_NOT_EMPTY\n$/);
  assert.deepEqual(await readdir(out), ['thesis.txt']);
  const none = await mm(['data', 'make-shapes', '--out', join(out, 'a'), '--count', '0']);
  assert.equal(none.code, 2);
  assert.match(none.stderr, /received 0\n {2}at: {2}--count\n.*\n {2}code: E_OPTION_VALUE\n$/);
});

test('an interrupted make-shapes leaves nothing behind and exits with 130', async () => {
  const folder = await temporaryFolder();
  const { code } = await mmAlone(
    ['data', 'make-shapes', '--out', join(folder, 'a'), '--count', '100000'],
    (child) => {
      let isSent = false; // on a busy machine two looks may be under way
      const wait = setInterval(async () => {
        if ((await readdir(folder)).length === 0 || isSent) return;
        isSent = true;
        clearInterval(wait);
        child.kill('SIGINT');
      }, 20);
    },
  );
  assert.equal(code, 130);
  assert.deepEqual(await readdir(folder), []);
});

async function faultyFolder(): Promise<string> {
  const folder = await temporaryFolder();
  const red = await plain(40, 30, '#f00').png().toBuffer();
  await write(join(folder, 'good.png'), red);
  await write(join(folder, 'good.txt'), 'a red image\n');
  await write(join(folder, 'nested/copy.png'), red);
  await write(join(folder, 'nested/copy.txt'), 'a red image\nand another caption\n');
  await write(join(folder, 'wide.jpg'), await plain(200, 50, '#0f0').jpeg().toBuffer());
  await write(join(folder, 'wide.txt'), 'green '.repeat(9));
  await write(join(folder, 'bare.webp'), await plain(20, 20, '#00f').webp().toBuffer());
  await write(join(folder, 'blank.png'), await plain(21, 20, '#00f').png().toBuffer());
  await write(join(folder, 'blank.txt'), ' \n');
  await write(join(folder, 'cut.png'), (await noise(50, 50, 'png')).subarray(0, 3000));
  await write(join(folder, 'text.jpg'), 'not an image');
  await write(join(folder, 'dot.png'), await plain(1, 1, '#fff').png().toBuffer());
  await write(join(folder, 'alone.txt'), 'a caption without an image');
  return folder;
}

const listed = (...first: readonly unknown[]) => ({ count: first.length, first });

test('check reports every kind of fault', async () => {
  const folder = await faultyFolder();
  const { code, stdout, stderr } = await mm(['data', 'check', folder, '--json', '--text-length', '8']);
  assert.equal(code, 0, stderr);
  const { unusable, findings, ...report } = JSON.parse(stdout) as DataReport;
  assert.deepEqual(
    unusable.first.map(({ file, reason }) => [file, reason.replace(/ \(.*/, '')]),
    [
      ['cut.png', 'truncated or damaged'],
      ['dot.png', 'only 1 × 1 pixels; 4 on a side are the least'],
      ['text.jpg', 'not an image of a known format'],
    ],
  );
  assert.deepEqual(
    unusable.first.map(({ kind }) => kind),
    ['damaged-image', 'image-size', 'not-an-image'],
  );
  assert.deepEqual(
    findings.map(({ kind, count }) => [kind, count]),
    [
      ['damaged-image', 1],
      ['image-size', 1],
      ['not-an-image', 1],
      ['orphan-caption', 1],
    ],
  );
  assert.deepEqual(report, {
    path: folder,
    images: 8,
    usable: 5,
    formats: { png: 3, webp: 1, jpeg: 1 },
    width: { min: 20, median: 40, max: 200 },
    height: { min: 20, median: 30, max: 50 },
    sides: [
      { range: 'below 32', count: 4 },
      { range: '32 to 63', count: 1 },
    ],
    aspect: { min: 1, median: 1.333, max: 4 },
    aspects: [
      { range: 'taller than 2:1', count: 0 },
      { range: '2:1 to 4:3, upright', count: 0 },
      { range: 'nearly square', count: 2 },
      { range: '4:3 to 2:1, wide', count: 2 },
      { range: 'wider than 2:1', count: 1 },
    ],
    duplicates: { images: 1, first: [['good.png', 'nested/copy.png']] },
    nearDuplicates: { images: 0, first: [] },
    limits: [],
    captions: {
      count: 3,
      distinct: 2,
      repeated: [{ caption: 'a red image', images: 2 }],
      words: { min: 3, median: 3, max: 9 },
      lengths: [
        { range: '2 to 3', count: 3 },
        { range: '4 to 7', count: 0 },
        { range: '8 to 15', count: 1 },
      ],
      frequentWords: [
        { word: 'green', count: 9 },
        ...['a', 'image', 'red'].map((word) => ({ word, count: 2 })),
        ...['and', 'another', 'caption'].map((word) => ({ word, count: 1 })),
      ],
      missing: listed('bare.webp', 'cut.png', 'dot.png', 'text.jpg'),
      empty: listed('blank.txt'),
      unreadable: listed(),
      tooLong: listed({ file: 'wide.txt', words: 9 }),
      severalLines: listed('nested/copy.txt'),
      withoutImage: listed('alone.txt'),
    },
  });
});

test('check reports the same to people', async () => {
  const { code, stdout } = await mm(['data', 'check', await faultyFolder(), '--quiet']);
  assert.equal(code, 0);
  assert.match(stdout, /^8 images in .*, 5 usable: 3 png, 1 jpeg, 1 webp$/m);
  assert.match(stdout, /^warning: 3 images cannot be used: cut\.png \(truncated or damaged/m);
  assert.match(stdout, /^warning: 1 caption without an image: alone\.txt$/m);
});

test('check counts tokens, and writes a page with images of each kind of fault', async () => {
  const folder = await faultyFolder();
  const bpe = await trainBpe(['green '.repeat(9)], { vocabulary: 260 });
  const tokenizer = join(folder, '.tokenizer.json');
  await bpe.save(tokenizer);
  const page = join(folder, '.page.html');
  const flags = ['--tokenizer', tokenizer, '--text-length', '4', '--html', page, '--json'];
  const { code, stdout, stderr } = await mm(['data', 'check', folder, ...flags]);
  assert.equal(code, 0, stderr);
  const { captions, html } = JSON.parse(stdout) as DataReport & { html: string };
  assert.equal(html, page);
  const all = ['a red image', 'a red image', 'and another caption', 'green '.repeat(9).trim()];
  const lengths = all.map((caption) => bpe.encode(caption).length).sort((x, y) => x - y);
  assert.deepEqual(
    captions.tooLong.first.map(({ tokens = 0 }) => tokens).sort((x, y) => x - y),
    lengths,
  );
  assert.deepEqual(captions.tokens, { min: lengths[0], median: lengths[2], max: lengths[3] });
  const text = await readFile(page, 'utf8');
  assert.doesNotMatch(text, /<script/);
  for (const file of ['cut.png', 'dot.png', 'text.jpg', 'wide', 'bare.webp'])
    assert.match(text, new RegExp(file));
  assert.ok(text.split('data:image/png;base64,').length > 8);
});

test('check reads tars and lists like training, and names a damaged tar', async () => {
  const folder = await temporaryFolder();
  const red = await plain(40, 30, '#f00').png().toBuffer();
  const pack = tar.pack();
  pack.entry({ name: '0.png' }, red);
  pack.entry({ name: '0.txt' }, 'a red image\na image of red\n');
  pack.entry({ name: '1.png' }, 'not an image');
  pack.entry({ name: '2.txt' }, 'a caption without an image');
  pack.finalize();
  const whole = await buffer(pack);
  await write(join(folder, 'tars/a.tar'), whole);
  await write(join(folder, 'tars/b.tar'), whole.subarray(0, 560));
  const tars = await mm(['data', 'check', join(folder, 'tars'), '--json']);
  assert.equal(tars.code, 0, tars.stderr);
  const report = JSON.parse(tars.stdout) as DataReport;
  assert.deepEqual([report.images, report.usable, report.captions.count], [2, 1, 1]);
  assert.deepEqual(
    report.unusable.first.map(({ file }) => file),
    ['b.tar', 'a.tar/1.png'],
  );
  assert.deepEqual(report.captions.severalLines, listed('a.tar/0.png'));
  assert.deepEqual(report.captions.withoutImage, listed('a.tar/2.txt'));

  await write(join(folder, 'red.png'), red);
  await write(join(folder, 'green.avif'), await plain(16, 16, '#0f0').avif().toBuffer());
  await write(join(folder, 'list.csv'), 'file,caption\nred.png,red\ngone.png,blue\ngreen.avif,\n');
  const list = await mm(['data', 'check', join(folder, 'list.csv')]);
  assert.equal(list.code, 0, list.stderr);
  assert.match(list.stdout, /^3 images in .*list\.csv, 2 usable: 1 avif, 1 png$/m);
  assert.match(list.stdout, /^warning: 1 image cannot be used: gone\.png \(the file is gone/m);
});

test('pack writes tars with a manifest, says what it left out, and writes over nothing', async () => {
  const folder = await faultyFolder();
  const out = join(await temporaryFolder(), 'packed');
  const flags = ['data', 'pack', folder, '--out', out, '--deduplicate', 'exact', '--captions-only'];
  const { code, stdout, stderr } = await mmAlone([...flags, '--quiet']);
  assert.equal(code, 0, stderr);
  assert.equal(
    stdout,
    `${out}: 2 images, 2 with a caption, in 1 tar; left out: 1 copies, 5 without a caption\n`,
  );
  assert.deepEqual((await readdir(out)).sort(), ['000000.tar', 'manifest.json']);
  const again = await mm([...flags, '--json']);
  assert.equal(again.code, 2);
  const { error } = JSON.parse(again.stdout);
  assert.deepEqual([error.code, error.where], ['E_FOLDER_NOT_EMPTY', out]);
});

test('check refuses data without a usable image, an empty folder, and a missing one', async () => {
  const folder = await temporaryFolder();
  assert.equal((await mm(['data', 'check', folder])).code, 3);
  assert.equal((await mm(['data', 'check', join(folder, 'nowhere')])).code, 3);
  await write(join(folder, 'a.png'), 'not an image');
  const { code, stdout, stderr } = await mm(['data', 'check', folder, '--json']);
  assert.equal(code, 3);
  const [report, failure] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal((report as DataReport).usable, 0);
  assert.deepEqual([failure.error.code, failure.error.exitCode], ['E_NO_USABLE_IMAGE', 3]);
  assert.match(stderr, /1 image[\s\S]* {2}code: E_NO_USABLE_IMAGE\n$/);
});

test('check reports files without read permission', { skip: isRoot && 'root reads everything' }, async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'a.png'), await plain(8, 8, '#fff').png().toBuffer());
  await write(join(folder, 'b.png'), await plain(9, 8, '#fff').png().toBuffer());
  await write(join(folder, 'b.txt'), 'white');
  for (const name of ['a.png', 'b.txt']) await chmod(join(folder, name), 0);
  const report = JSON.parse((await mm(['data', 'check', folder, '--json'])).stdout) as DataReport;
  assert.deepEqual(
    report.unusable,
    listed({ file: 'a.png', reason: 'no permission to read the file', kind: 'unreadable-file' }),
  );
  assert.deepEqual(report.captions.unreadable, listed('b.txt'));
});

test('data without an action, or with an unknown one, is refused with the known ones', async () => {
  const none = await mm(['data']);
  assert.equal(none.code, 2);
  assert.match(none.stderr, /mm data --help[\s\S]*E_COMMAND_MISSING/);
  const wrong = await mm(['data', 'chek', 'x']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /mm data check\?[\s\S]*E_COMMAND_UNKNOWN/);
});
