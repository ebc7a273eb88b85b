import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { openCaptions, readLines } from '../../../../src/data/sources/caption-files.ts';
import { Faults } from '../../../../src/data/sources/faults.ts';

const folder = mkdtempSync(join(tmpdir(), 'mm-captions-'));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'x.txt');

async function lines(content: string | Uint8Array): Promise<string[]> {
  writeFileSync(file, content);
  const all: string[] = [];
  for await (const line of readLines(file)) all.push(line);
  return all;
}

const failure = (code: string, where: string) => ({ name: 'DataError', code, where });

describe('the lines of a file', () => {
  test('are the same with and without a line break at the end', async () => {
    assert.deepEqual(await lines('a\nb\n'), ['a', 'b']);
    assert.deepEqual(await lines('a\n\nb'), ['a', '', 'b']);
    assert.deepEqual(await lines(''), []);
  });

  test('keep characters that are split between two reads', async () => {
    const text = Array.from({ length: 60_000 }, (_, i) => `${'x'.repeat(i % 7)}é🙂`);
    assert.deepEqual(await lines(text.join('\n')), text);
  });

  test('are read from UTF-16 with its mark', async () => {
    for (const swapped of [false, true]) {
      const bytes = Buffer.from('\uFEFFfirst é🙂\nsecond', 'utf16le');
      assert.deepEqual(await lines(swapped ? bytes.swap16() : bytes), ['first é🙂', 'second']);
    }
  });

  test('of other bytes are recorded and left out, and the others are read', async () => {
    const faults = new Faults();
    writeFileSync(file, Buffer.from('one\ncaf\xe9\n\xc3\xa9t\xc3\xa9\nend\x92', 'latin1'));
    const read: string[] = [];
    for await (const line of readLines(file, { faults })) read.push(line);
    assert.deepEqual(read, ['one', 'été']);
    assert.deepEqual(
      faults.all.map(({ path }) => path),
      [`${file}:2`, `${file}:4`],
    );
  });

  test('are refused when the file is not text', async () => {
    const refused: Uint8Array[] = [
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47),
      Buffer.from('a\u0000b'),
      Buffer.from('a caption', 'utf16le'),
      Uint8Array.of(0x61, 0xc3), // cut inside a character
      Buffer.alloc(2 ** 21, 'x'),
    ];
    for (const content of refused) await assert.rejects(lines(content), failure('E_NOT_TEXT', file));
  });

  test('of a missing file are an error that names it', async () => {
    const gone = join(folder, 'gone.txt');
    await assert.rejects(readLines(gone).next(), failure('E_NOT_FOUND', gone));
  });
});

describe('the captions of a source', () => {
  const captions = async (path: string, faults = new Faults()): Promise<string[]> => {
    const all: string[] = [];
    for await (const caption of (await openCaptions(path, { faults })).captions()) all.push(caption);
    return all;
  };

  test('are those of the caption files of a folder and its subfolders, without hidden ones', async () => {
    const root = join(folder, 'set');
    mkdirSync(join(root, 'b', 'c.txt'), { recursive: true });
    for (const name of ['b/2.txt', 'a.txt', 'b/1.TXT', 'b/c.txt/d.txt', 'a.png', '._a.txt'])
      writeFileSync(join(root, name), name);
    writeFileSync(join(root, 'b/bad.txt'), Buffer.of(0x92));
    const faults = new Faults();
    assert.deepEqual(await captions(root, faults), ['a.txt', 'b/1.TXT', 'b/2.txt', 'b/c.txt/d.txt']);
    assert.deepEqual([faults.count('hidden'), faults.count('unreadable-caption')], [1, 1]);
  });

  test('of a file without text are none, and it is recorded', async () => {
    const root = join(folder, 'blank');
    mkdirSync(root);
    writeFileSync(join(root, 'a.txt'), 'a');
    writeFileSync(join(root, 'b.txt'), ' \n');
    const faults = new Faults();
    assert.deepEqual(await captions(root, faults), ['a']);
    assert.deepEqual(faults.all, [{ path: join(root, 'b.txt'), reason: 'its caption is empty' }]);
  });

  test('are those of the images of a list', async () => {
    const list = join(folder, 'list.csv');
    writeFileSync(list, 'file,caption\na.png,one\nb.png,two\n');
    assert.deepEqual(await captions(list), ['one', 'two']);
  });

  test('of a .txt that is a table, records or paths are those of the list, or an error', async () => {
    const list = join(folder, 'list.txt');
    for (const text of ['image,caption\na.png,one\n', '{"image":"a.png","caption":"one"}\n']) {
      writeFileSync(list, text);
      assert.deepEqual(await captions(list), ['one']);
    }
    writeFileSync(list, 'x/a.png\nb.jpg\n');
    await assert.rejects(captions(list), { code: 'E_NO_CAPTION' });
    for (const lines of [['a.png', 'a dog'], ['an image, captioned'], ['{a set}']]) {
      writeFileSync(list, lines.join('\n'));
      assert.deepEqual(await captions(list), lines);
    }
  });

  test('are an error for a folder without any, and for a missing folder', async () => {
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    await assert.rejects(captions(empty), failure('E_NO_CAPTION', empty));
    const none = join(folder, 'none');
    await assert.rejects(captions(none), failure('E_NOT_FOUND', none));
  });
});
