import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { captionFiles, readLines } from '../../../../src/data/sources/caption-files.ts';

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

describe('caption files', () => {
  test('are those of a folder and its subfolders, sorted', async () => {
    const root = join(folder, 'set');
    mkdirSync(join(root, 'b', 'c.txt'), { recursive: true });
    for (const name of ['b/2.txt', 'a.txt', 'b/1.TXT', 'b/c.txt/d.txt', 'a.png'])
      writeFileSync(join(root, name), '');
    const found = await captionFiles(root);
    assert.deepEqual(
      found,
      ['a.txt', 'b/1.TXT', 'b/2.txt', 'b/c.txt/d.txt'].map((name) => join(root, name)),
    );
    assert.deepEqual(await captionFiles(join(root, 'a.png')), [join(root, 'a.png')]);
  });

  test('are an error for a folder without any, and for a missing folder', async () => {
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    await assert.rejects(captionFiles(empty), failure('E_NO_CAPTION', empty));
    const none = join(folder, 'none');
    await assert.rejects(captionFiles(none), failure('E_NOT_FOUND', none));
  });
});
