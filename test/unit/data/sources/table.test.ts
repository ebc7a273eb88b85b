import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import Papa from 'papaparse';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { readImages } from '../../../../src/data/sources/resolve.ts';
import { readTable } from '../../../../src/data/sources/table.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import { temporaryFolder, write } from '../../../support/images.ts';

const isWanted = (name: string): boolean => name === 'file';
const rows = (text: string, separator?: string): (readonly string[])[] =>
  readTable(text, { isWanted, separator }).rows.map(({ cells }) => cells);

describe('a table', () => {
  test('is split at the separator that gives its header a known name', () => {
    for (const separator of [',', '\t', ';', '|'])
      assert.deepEqual(rows(`file${separator}title\na.png${separator}one\n`), [['a.png', 'one']]);
    assert.deepEqual(rows('title\tfile\na blue, shiny square\ta.png\n'), [['a blue, shiny square', 'a.png']]);
    assert.deepEqual(rows('file~title\na.png~one', '~'), [['a.png', 'one']]);
  });

  test('has a row for each line, whatever ends them; a carriage return inside a line is text', () => {
    for (const end of ['\n', '\r\n', '\r'])
      assert.deepEqual(rows(`file,title${end}a.png,one${end}${end}b.png,`), [
        ['a.png', 'one'],
        ['b.png', ''],
      ]);
    assert.deepEqual(rows('file,title\na.png,a blue\rsquare\nb.png,two\n'), [
      ['a.png', 'a blue\rsquare'],
      ['b.png', 'two'],
    ]);
  });

  test('has quoted cells as RFC 4180 says, also between blanks', () => {
    assert.deepEqual(rows('file,title\na.png,"a, ""b""\nc"\n'), [['a.png', 'a, "b"\nc']]);
    assert.deepEqual(rows('file,title\na.png, "a, b"\nb.png, "c"\n'), [
      ['a.png', 'a, b'],
      ['b.png', 'c'],
    ]);
    assert.deepEqual(rows('file,title\na.png,5" wide\n'), [['a.png', '5" wide']]);
  });

  test('between tabs a quotation mark is a character, unless the file quotes', () => {
    const open = 'file\ttitle\na.png\t"not closed\nb.png\ttwo\nc.png\tends in a quote"\nd.png\t"all"\n';
    assert.deepEqual(rows(open), [
      ['a.png', '"not closed'],
      ['b.png', 'two'],
      ['c.png', 'ends in a quote"'],
      ['d.png', '"all"'],
    ]);
    assert.deepEqual(rows('file\ttitle\na.png\t"say ""hi"""\nb.png\ttwo\n'), [
      ['a.png', 'say "hi"'],
      ['b.png', 'two'],
    ]);
    assert.deepEqual(rows('"file"\t"title"\n"a.png"\t"one"\n'), [['a.png', 'one']]);
    assert.deepEqual(rows('file\ttitle\na.png\t"one\ttab"\n'), [['a.png', 'one\ttab']]);
  });

  test('whose quoted cell never ends keeps its rows, and says so', () => {
    const table = readTable('file,title\na.png,"not closed\nb.png,two\n', { isWanted });
    assert.deepEqual(
      table.rows.map(({ cells }) => cells),
      [
        ['a.png', '"not closed'],
        ['b.png', 'two'],
      ],
    );
    assert.ok(table.keepsQuotes);
  });

  test('knows the line in which a row starts', () => {
    const { rows: found } = readTable('file,title\n\n"b\nb",\n,\nc,d', { isWanted });
    assert.deepEqual(
      found.map(({ line }) => line),
      [3, 5, 6],
    );
  });
});

test('columns and the separator may be named; a column that is not there is an error', async () => {
  const folder = await temporaryFolder();
  await write(join(folder, 'a.csv'), 'file~where~words\nno.png~yes.png~the caption\n');
  const read = (imageColumn: string) =>
    readImages(join(folder, 'a.csv'), {
      captions: 'optional',
      table: { imageColumn, captionColumn: 'Words', separator: '~' },
    });
  const [image] = await read('where');
  assert.deepEqual([image!.key, image!.captions], ['yes', ['the caption']]);
  await assert.rejects(read('gone'), { code: 'E_NO_COLUMN', option: 'imageColumn' });
});

/** Texts with what breaks lists: separators, quotation marks, line ends, other scripts, other planes. */
const PARTS = [
  'a',
  ' ',
  ',',
  '\t',
  ';',
  '|',
  '"',
  '""',
  "'",
  '\\',
  '\n',
  '\r',
  '\r\n',
  'é',
  'e\u0301',
  '語',
  '🙂',
  '\u2028',
  '\u00a0',
  '=',
  '{',
  '[',
  '#',
];
const textOf = (random: RandomStream): string =>
  Array.from({ length: random.integer(12) }, () => PARTS[random.integer(PARTS.length)]).join('');
/** Captions as they are kept: a line each, trimmed. */
const captionsOf = (text: string): string[] =>
  text
    .replaceAll(/\r\n?/g, (end) => (end === '\r' ? ' ' : '\n'))
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

type Row = { readonly file: string; readonly caption: string };
const FORMATS: Readonly<Record<string, (rows: readonly Row[]) => string>> = {
  'a.csv': (all) => Papa.unparse([...all], { newline: '\n' }),
  'b.csv': (all) => Papa.unparse([...all], { newline: '\r\n', delimiter: ';', quotes: true }),
  'c.csv': (all) => Papa.unparse([...all], { newline: '\n', delimiter: '\t' }),
  'd.tsv': (all) => Papa.unparse([...all], { newline: '\n', delimiter: '\t', quotes: true }),
  // Programs that do not quote replace tabs and line ends.
  'e.tsv': (all) =>
    [
      'file\tcaption',
      ...all.map(({ file, caption }) => `${file}\t${caption.replaceAll(/[\t\r\n]+/g, ' ')}`),
    ].join('\n'),
  'f.jsonl': (all) => all.map((row) => JSON.stringify(row)).join('\n'),
  'g.json': (all) => JSON.stringify(all, undefined, 1),
  'h.json': (all) =>
    JSON.stringify({
      images: all.map(({ file }, id) => ({ id, file_name: file })),
      annotations: all.map(({ caption }, id) => ({ image_id: id, caption })),
    }),
};

for (const [name, format] of Object.entries(FORMATS)) {
  test(`rows out are rows in, for any text: ${name}`, async () => {
    const folder = await temporaryFolder();
    for (let seed = 0; seed < 60; seed++) {
      const random = new RandomStream(seed, name);
      const all = Array.from(
        { length: 1 + random.integer(8) },
        (_, i): Row => ({
          file: `${i}-${random.integer(2) === 0 ? 'é語' : 'x'}.png`,
          caption: textOf(random),
        }),
      );
      const text = format(all);
      // A file without quotes whose only quotation marks look like those around a cell may be either.
      if (name === 'e.tsv' && /\t"(?:[^"]|"")*"(\n|$)|""/.test(text)) continue;
      // Between tabs, a quoted cell of several lines that each look like a row may be those rows.
      if (name === 'c.csv' && all.some(({ caption }) => /\n/.test(caption) && /\t/.test(caption))) continue;
      if (name === 'h.json') await write(join(folder, all[0]!.file), '');
      await write(join(folder, name), text);
      const faults = new Faults();
      const read = await readImages(join(folder, name), { captions: 'optional', faults });
      const expected = all.map(({ file, caption }) => {
        const plain = name === 'e.tsv' ? caption.replaceAll(/[\t\r\n]+/g, ' ') : caption;
        const kept = name === 'h.json' ? plain.replaceAll(/\s*\n\s*/g, ' ') : plain;
        return [file.slice(0, -4), captionsOf(kept)];
      });
      assert.deepEqual(
        read.map(({ key, captions }) => [key, captions]),
        expected,
        `seed ${seed}: ${JSON.stringify(text)}`,
      );
      assert.deepEqual(faults.all, []);
    }
  });
}
