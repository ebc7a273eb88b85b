import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { captionFiles, readLines } from '../../../../src/data/sources/caption-files.ts';
import { DataError } from '../../../../src/util/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'mm-captions-'));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'x.txt');

async function lines(content: string | Uint8Array): Promise<string[]> {
  writeFileSync(file, content);
  const all: string[] = [];
  for await (const line of readLines(file)) all.push(line);
  return all;
}

const failsWith = (message: RegExp, where: string) => (error: unknown) =>
  error instanceof DataError && message.test(error.message) && error.where === where;

describe('lines', () => {
  test('with and without a break at the end', async () => {
    assert.deepEqual(await lines('a\nb\n'), ['a', 'b']);
    assert.deepEqual(await lines('a\n\nb'), ['a', '', 'b']);
    assert.deepEqual(await lines(''), []);
  });

  test('characters cut by the reader’s chunks stay whole', async () => {
    const text = Array.from({ length: 60_000 }, (_, i) => `${'x'.repeat(i % 7)}é🙂`);
    assert.deepEqual(await lines(text.join('\n')), text);
  });

  test('what is not text is refused', async () => {
    const refused: Uint8Array[] = [
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47),
      Buffer.from('a\u0000b'),
      Buffer.from('a caption', 'utf16le'),
      Uint8Array.of(0x61, 0xc3), // cut inside a character
      Buffer.alloc(2 ** 21, 'x'),
    ];
    for (const content of refused) await assert.rejects(lines(content), failsWith(/not a text file/, file));
  });

  test('a file that is gone is named', async () => {
    const gone = join(folder, 'gone.txt');
    await assert.rejects(readLines(gone).next(), failsWith(/ENOENT/, gone));
  });
});

describe('files', () => {
  test('those of a folder and the folders in it, sorted', async () => {
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

  test('none, and no folder', async () => {
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    await assert.rejects(captionFiles(empty), failsWith(/no \.txt captions/, empty));
    const none = join(folder, 'none');
    await assert.rejects(captionFiles(none), failsWith(/no such file or folder/, none));
  });
});
