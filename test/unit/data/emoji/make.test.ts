// The captioned images of an emoji font. Rendering needs the font; lists and errors do not.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { parseEmojiList } from '../../../../src/data/emoji/list.ts';
import { makeEmoji } from '../../../../src/data/emoji/make.ts';
import { temporaryFolder, write } from '../../../support/images.ts';

const FONT = '/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf';

const LIST = `# emoji-test.txt
# group: Smileys & Emotion
1F600                  ; fully-qualified     # 😀 E1.0 grinning face
263A FE0F              ; fully-qualified     # ☺️ E0.6 smiling face
263A                   ; unqualified         # ☺ E0.6 smiling face
1F468 1F3FF 200D 1F9B0 ; fully-qualified     # 👨🏿‍🦰 E11.0 man: dark skin tone, red hair
1F3FB                  ; component           # 🏻 E1.0 light skin tone
1F1E9 1F1EA            ; fully-qualified     # 🇩🇪 E0.6 flag: Germany
23 FE0F 20E3           ; fully-qualified     # #️⃣ E0.6 keycap: #
110000                 ; fully-qualified     # x E1.0 beyond Unicode
1F600 1F600            ; fully-qualified     # 😀😀 E1.0 two faces
`;

test('a list gives each fully qualified emoji once, with its name', () => {
  const emoji = parseEmojiList(LIST.replaceAll('\n', '\r\n'), 'list');
  assert.deepEqual(
    emoji.map(({ text, stem, name }) => [text, stem, name]),
    [
      ['😀', '1f600', 'grinning face'],
      ['☺️', '263a-fe0f', 'smiling face'],
      ['👨🏿‍🦰', '1f468-1f3ff-200d-1f9b0', 'man: dark skin tone, red hair'],
      ['🇩🇪', '1f1e9-1f1ea', 'flag: Germany'],
      ['#️⃣', '23-fe0f-20e3', 'keycap: #'],
      ['😀😀', '1f600-1f600', 'two faces'],
    ],
  );
  assert.throws(() => parseEmojiList('a,b\n', 'table.csv'), { code: 'E_NO_EMOJI', where: 'table.csv' });
});

test('without the font, with another list, or over a folder nothing is written', async () => {
  const folder = await temporaryFolder();
  const names = join(folder, 'names.txt');
  await write(names, LIST);
  const options = { out: join(folder, 'out'), font: 'No Such Font', names, size: 32 };
  await assert.rejects(makeEmoji(options), { code: 'E_NO_FONT', option: 'font' });
  await assert.rejects(makeEmoji({ ...options, names: join(folder, 'none') }), { code: 'E_NOT_FOUND' });
  assert.deepEqual(await readdir(folder), ['names.txt']);
  await mkdir(options.out);
  await assert.rejects(makeEmoji(options), { code: 'E_FOLDER_NOT_EMPTY', where: options.out });
});

test('emoji are rendered in colour; those that are no glyph of the font are left out by name', {
  skip: !existsSync(FONT) && 'needs fonts-noto-color-emoji',
}, async () => {
  const folder = await temporaryFolder();
  const [out, names] = [join(folder, 'out'), join(folder, 'names.txt')];
  await write(names, LIST);
  const about = await makeEmoji({ out, font: 'Noto Color Emoji', names, size: 32 });
  assert.deepEqual([about.count, about.missing], [5, ['two faces']]);
  assert.equal((await readdir(out)).length, 10);
  assert.equal(await readFile(join(out, '1f1e9-1f1ea.txt'), 'utf8'), 'flag: Germany\n');
  const { data, info } = await sharp(join(out, '1f1e9-1f1ea.png'))
    .raw()
    .toBuffer({ resolveWithObject: true });
  assert.deepEqual([info.width, info.height, info.channels], [32, 32, 3]);
  const at = (x: number, y: number): number[] => [...data.subarray((y * 32 + x) * 3, (y * 32 + x) * 3 + 3)];
  assert.deepEqual(at(0, 0), [255, 255, 255]);
  // Black, red, gold.
  const [top, middle, bottom] = [8, 16, 23].map((y) => at(16, y)) as [number[], number[], number[]];
  assert.ok(Math.max(...top) < 60, `${top}`);
  assert.ok(middle[0]! > 200 && middle[1]! < 60, `${middle}`);
  assert.ok(bottom[0]! > 200 && bottom[1]! > 150 && bottom[2]! < 80, `${bottom}`);
});
