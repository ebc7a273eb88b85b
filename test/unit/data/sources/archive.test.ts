import assert from 'node:assert/strict';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import * as tar from 'tar-stream';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { readImages } from '../../../../src/data/sources/resolve.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import { temporaryFolder, write } from '../../../support/images.ts';
import { packTar } from '../../../support/mutations.ts';

const folder = await temporaryFolder();
const path = join(folder, 'a.tar');
const read = async (files: readonly (readonly [string, string])[], faults = new Faults()) => {
  await write(path, await packTar(files.map(([name, text]) => [name, Buffer.from(text)])));
  const images = await readImages(path, { captions: 'optional', faults });
  return images.map(({ key, captions }) => [key.slice('a/'.length), ...captions]);
};
const kinds = (faults: Faults): [string, number][] => faults.counts.map(({ kind, count }) => [kind, count]);

test('a key with dots is taken where it is clear', async () => {
  assert.deepEqual(
    await read([
      ['10231 Track 2.0 (clean).jpg', 'x'],
      ['10231 Track 2.0 (clean).txt', 'a red square'],
      ['v1.2.png', 'x'],
      ['ok.jpg', 'x'],
      ['ok.txt', 'ok'],
    ]),
    [['10231 Track 2.0 (clean)', 'a red square'], ['v1.2'], ['ok', 'ok']],
  );
});

test('parts of an example are no images, and unclear keys are counted with the rule', async () => {
  const faults = new Faults();
  const found = await read(
    [
      ['0.jpg', 'x'],
      ['0.seg.png', 'x'],
      ['0.seg.txt', 'of the part'],
      ['1.rgb.png', 'x'],
      ['1.depth.png', 'x'],
    ],
    faults,
  );
  assert.deepEqual(found, [['0']]);
  assert.deepEqual(kinds(faults), [
    ['other-file', 2],
    ['unclear-key', 2],
  ]);
  assert.match(faults.all[0]!.reason, /the key is 1, the part rgb\.png/);
});

test('an empty .txt gives way to .json, whose captions may be a list, and a later member replaces an earlier one', async () => {
  const faults = new Faults();
  const found = await read(
    [
      ['0.jpg', 'x'],
      ['0.txt', ''],
      ['0.json', '{"caption":"a red square"}'],
      ['1.jpg', 'x'],
      ['1.json', '{"caption":["a blue square","blue"]}'],
      ['2.jpg', 'x'],
      ['2.json', '{"caption":null}'],
      ['3.jpg', 'x'],
      ['3.txt', 'old'],
      ['3.txt', 'new'],
      ['4.png', 'x'],
      ['4.jpg', 'x'],
      ['4.txt', 'twins'],
    ],
    faults,
  );
  assert.deepEqual(found, [
    ['0', 'a red square'],
    ['1', 'a blue square', 'blue'],
    ['2'],
    ['3', 'new'],
    ['4.png', 'twins'],
    ['4.jpg', 'twins'],
  ]);
  assert.deepEqual(kinds(faults), [
    ['replaced', 1],
    ['twin', 2],
  ]);
});

/** Letters of names: other scripts and planes, combining marks, what shells and programs trip over. */
const LETTERS = [
  'a',
  'Z',
  '0',
  ' ',
  '-',
  '_',
  '(',
  '%',
  "'",
  '"',
  '&',
  '=',
  '\\',
  ':',
  '\t',
  'é',
  'e\u0301',
  'ß',
  'Ω',
  '語',
  '한',
  'ا',
  '🙂',
  '👩‍👩‍👧',
  '\u202e',
  '\u00a0',
];

test('names of any Unicode go through tars and back, with their captions', async () => {
  for (let seed = 0; seed < 60; seed++) {
    const random = new RandomStream(seed, 'names');
    const name = (): string =>
      Array.from(
        { length: 1 + random.integer(seed % 10 === 0 ? 120 : 12) },
        () => LETTERS[random.integer(LETTERS.length)],
      ).join('');
    const keys = new Map<string, string>();
    for (let i = 0; i < 8; i++) {
      const key = random.integer(2) === 0 ? name() : `${name()}/${name()}`;
      keys.set(key.normalize('NFC'), key);
    }
    const expected = [...keys.values()].map((key, i) => [key, `caption ${i}`]);
    const files = expected.flatMap(([key, caption]): [string, string][] => [
      [`${key}.png`, 'x'],
      // The caption's name is in the other Unicode form.
      [`${key!.normalize('NFD')}.txt`, caption!],
    ]);
    assert.deepEqual(await read(files), expected, `seed ${seed}`);
  }
});

test('a name that is no UTF-8 stays apart from others, and sizes in base 256 are read', async () => {
  const pack = tar.pack();
  for (const name of ['a1.png', 'a2.png']) pack.entry({ name }, 'x');
  pack.finalize();
  const bytes = await buffer(pack);
  for (const [at, byte] of [
    [1, 0xe9],
    [1025, 0xe8],
  ] as const) {
    bytes[at] = byte;
    const header = bytes.subarray(at - 1, at - 1 + 512);
    // The size, 1, as GNU writes sizes that octal digits do not hold.
    header.fill(0, 124, 136);
    header[124] = 0x80;
    header[135] = 1;
    header.fill(32, 148, 156);
    header.write(
      header
        .reduce((sum, one) => sum + one, 0)
        .toString(8)
        .padStart(6, '0'),
      148,
    );
    header[154] = 0;
  }
  await write(path, bytes);
  const images = await readImages(path, { captions: 'optional' });
  assert.deepEqual(
    images.map(({ key, region }) => [key, region?.length]),
    [
      ['a/aé', 1],
      ['a/aè', 1],
    ],
  );
});

test('a sparse member, an archive within, and one that ends inside a member are counted', async () => {
  const inner = await packTar([['x.png', Buffer.from('x')]]);
  const whole = await packTar([
    ['inner.tar', inner],
    ['a.png', Buffer.from('x')],
    ['b.png', Buffer.alloc(5000)],
  ]);
  await write(path, whole.subarray(0, whole.length - 4000));
  const faults = new Faults();
  assert.equal((await readImages(path, { captions: 'ignore', faults })).length, 1);
  assert.deepEqual(kinds(faults), [
    ['other-file', 1],
    ['cut-archive', 1],
  ]);
});

test('a header that claims a name of gigabytes is damage, and takes no memory', async () => {
  const whole = await packTar([['a.png', Buffer.from('x')]]);
  const header = Buffer.from(whole.subarray(0, 512));
  header.write('L', 156);
  header.write('77777777777\0', 124);
  header.fill(32, 148, 156);
  header.write(
    `${header
      .reduce((sum, one) => sum + one, 0)
      .toString(8)
      .padStart(6, '0')}\0`,
    148,
  );
  await write(path, Buffer.concat([header, whole]));
  await assert.rejects(readImages(path, { captions: 'ignore' }), { code: 'E_ARCHIVE_DAMAGED', where: path });
});

test('names that lead out of an archive stay within it', async () => {
  const files = [
    ['../up.jpg', 'x'],
    ['../up.txt', 'up'],
    ['/b/../abs.jpg', 'x'],
    ['./abs.txt', 'abs'],
  ] as const;
  assert.deepEqual(await read(files), [
    ['up', 'up'],
    ['abs', 'abs'],
  ]);
});
