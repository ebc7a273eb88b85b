// BERT's WordPiece tokenizer against transformers' on varied strings; scripts/fixtures/word_piece.py wrote the ids.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { HuggingFaceTokenizer } from '../../../src/tokenizers/hugging-face/tokenizer.ts';
import { loadTokenizer } from '../../../src/tokenizers/load.ts';
import { DataError } from '../../../src/util/errors.ts';

const fixture = JSON.parse(
  gunzipSync(readFileSync(new URL('./fixtures/word-piece.json.gz', import.meta.url))).toString(),
) as { tokenizer: Record<string, Record<string, unknown>>; texts: string[]; ids: number[][] };
const tokenizer = HuggingFaceTokenizer.fromJSON(fixture.tokenizer, 'here');

const root = mkdtempSync(join(tmpdir(), 'mm-bert-'));
after(() => rmSync(root, { recursive: true }));

test('the ids equal those of transformers, string for string', () => {
  const wrong = fixture.texts.flatMap((text, i) =>
    tokenizer.encode(text).join() === fixture.ids[i]?.join() ? [] : [text],
  );
  assert.deepEqual(wrong, []);
});

test('its tokenizer.json gives the same encoding again', () => {
  const again = HuggingFaceTokenizer.fromJSON(JSON.parse(JSON.stringify(tokenizer)), 'here');
  assert.equal(JSON.stringify(again), JSON.stringify(fixture.tokenizer));
});

test('the special tokens are those of its template', () => {
  assert.equal(tokenizer.around.start, tokenizer.idOf('[CLS]'));
  assert.equal(tokenizer.around.end, tokenizer.idOf('[SEP]'));
});

test('a vocab.txt is the same tokenizer with its tokenizer_config.json, and is refused without', async () => {
  const vocab = fixture.tokenizer.model?.vocab as Record<string, number>;
  const lines = Object.keys(vocab).sort((a, b) => vocab[a]! - vocab[b]!);
  const path = join(root, 'vocab.txt');
  writeFileSync(path, `${lines.join('\n')}\n`);
  await assert.rejects(loadTokenizer(path), { code: 'E_TOKENIZER_UNUSABLE', where: path });
  writeFileSync(join(root, 'tokenizer_config.json'), '{"do_lower_case": true}');
  const read = await loadTokenizer(path);
  assert.deepEqual(
    fixture.texts.map((text) => read.encode(text)),
    fixture.ids,
  );
  writeFileSync(join(root, 'tokenizer_config.json'), '{"do_lower_case": false}');
  const cased = await loadTokenizer(path);
  assert.notDeepEqual(cased.encode('A Cat'), read.encode('A Cat'));
});

describe('a tokenizer that cannot be used is refused with the part', () => {
  for (const [name, change, part] of [
    ['another step', { normalizer: { type: 'Secret' } }, /no such step as Secret \(normalizer/],
    ['another model', { model: { ...fixture.tokenizer.model, type: 'Neural' } }, /Neural/],
    ['no vocabulary', { model: { ...fixture.tokenizer.model, vocab: undefined } }, /model\.vocab/],
    [
      'two ids of a token',
      { model: { ...fixture.tokenizer.model, vocab: { '[UNK]': 0, '[PAD]': 1 } } },
      /\[PAD\]/,
    ],
  ] as const)
    test(name, () =>
      assert.throws(
        () => HuggingFaceTokenizer.fromJSON({ ...fixture.tokenizer, ...change }, 'here'),
        (error) =>
          error instanceof DataError && error.code === 'E_TOKENIZER_UNUSABLE' && part.test(error.message),
      ),
    );
});
