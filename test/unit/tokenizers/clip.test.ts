// CLIP's tokenizer against transformers' on varied strings; scripts/fixtures/clip_tokenizer.py wrote the ids, and compares
// the whole vocabulary on many more.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { BpeTokenizer } from '../../../src/tokenizers/bpe.ts';
import { ClipTokenizer } from '../../../src/tokenizers/clip.ts';
import { loadTokenizer } from '../../../src/tokenizers/load.ts';
import { DataError } from '../../../src/util/errors.ts';

const fixture = JSON.parse(
  gunzipSync(readFileSync(new URL('./fixtures/clip.json.gz', import.meta.url))).toString(),
) as { merges: string[]; texts: string[]; ids: number[][]; dirty: string[]; cleaned: number[][] };
const merges = ['"clip#version: 0.2', ...fixture.merges, ''].join('\n');
const tokenizer = ClipTokenizer.fromMerges(merges, 'here');

const root = mkdtempSync(join(tmpdir(), 'mm-clip-tokenizer-'));
after(() => rmSync(root, { recursive: true }));

test('every string has the ids of transformers', () => {
  const wrong = fixture.texts.filter((text, i) => tokenizer.encode(text).join() !== fixture.ids[i]!.join());
  assert.deepEqual(wrong, []);
  assert.ok(
    fixture.texts.some((text) => /&eacute;/.test(text)) && fixture.texts.some((text) => /👍🏽/u.test(text)),
  );
});

test("cleaned strings have the ids of OpenAI's tokenizer, and the file says that they are cleaned", () => {
  const read = ClipTokenizer.fromJSON(JSON.parse(JSON.stringify(tokenizer.cleaned('lower'))), 'here');
  const wrong = fixture.dirty.filter((text, i) => read.encode(text).join() !== fixture.cleaned[i]!.join());
  assert.deepEqual(wrong, []);
  const uncleaned = fixture.dirty.filter(
    (text, i) => tokenizer.encode(text).join() !== fixture.cleaned[i]!.join(),
  );
  assert.ok(uncleaned.length > 100);
  assert.deepEqual(JSON.stringify(read.cleaned(undefined)), JSON.stringify(tokenizer));
});

test('ids become text again', () => {
  assert.equal(tokenizer.decode(tokenizer.encode('A photo of a café, 漢字!')), 'a photo of a café , 漢字 !');
  assert.throws(() => tokenizer.decode([99_999]), RangeError);
});

test('a written tokenizer.json gives the same encoding', () => {
  const again = ClipTokenizer.fromJSON(JSON.parse(JSON.stringify(tokenizer)), 'here');
  assert.equal(again.vocabularySize, 512 + fixture.merges.length);
  for (const text of fixture.texts.slice(0, 100))
    assert.deepEqual(again.encode(text), tokenizer.encode(text));
  assert.deepEqual(JSON.stringify(again), JSON.stringify(tokenizer));
});

test('a text of nothing but white space has no ids', () => assert.deepEqual(tokenizer.encode(' \n\t '), []));

test('very long words are encoded fast, and are not cached', () => {
  const word = 'ab'.repeat(20_000);
  assert.ok(tokenizer.encode(word).length > 100);
});

describe('reading files', () => {
  const written = async (name: string, data: string | Buffer) => {
    const path = join(root, name);
    writeFileSync(path, data);
    return loadTokenizer(path);
  };

  test('takes merges, plain and compressed, and both kinds of tokenizer.json', async () => {
    const text = 'A photo of a red circle';
    for (const [name, data] of [
      ['merges.txt', merges],
      ['merges.txt.gz', gzipSync(merges)],
      ['clip.json', JSON.stringify(tokenizer)],
    ] as const)
      assert.deepEqual((await written(name, data)).encode(text), tokenizer.encode(text), name);
    const ours = await loadTokenizer(new URL('./fixtures/tokenizer.json', import.meta.url).pathname);
    assert.ok(ours instanceof BpeTokenizer);
  });

  test('gives an error that names the fault for other files', async () => {
    const refused = (promise: Promise<unknown>, names = /./) =>
      assert.rejects(
        promise,
        (error) =>
          error instanceof DataError && error.code === 'E_TOKENIZER_UNUSABLE' && names.test(error.message),
      );
    const none = join(root, 'none');
    await assert.rejects(loadTokenizer(none), { name: 'DataError', code: 'E_NOT_FOUND', where: none });
    await refused(written('a.txt', 'i n\nt h\n'), /#version/);
    await refused(written('b.txt', '#version: 0.2\ni n d\n'), /line 2/);
    await refused(written('c.txt', '#version: 0.2\nqq n\n'), /"qq"/);
    await refused(written('d.json', '{'));
    const json = JSON.parse(JSON.stringify(tokenizer));
    json.normalizer.normalizers.push({ type: 'Other' });
    await refused(written('e.json', JSON.stringify(json)), /Other/);
    const moved = JSON.parse(JSON.stringify(tokenizer));
    moved.model.vocab['<|endoftext|>'] = 5;
    await refused(written('f.json', JSON.stringify(moved)), /<\|endoftext\|>/);
  });
});
