// BERT's WordPiece tokenizer against transformers' on varied strings; scripts/fixtures/word_piece.py wrote the ids.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { isWordPieceTokenizer, WordPieceTokenizer } from '../../../src/tokenizers/word-piece.ts';
import { DataError } from '../../../src/util/errors.ts';

const fixture = JSON.parse(
  gunzipSync(readFileSync(new URL('./fixtures/word-piece.json.gz', import.meta.url))).toString(),
) as { tokenizer: Record<string, Record<string, unknown>>; texts: string[]; ids: number[][] };
const tokenizer = WordPieceTokenizer.fromJSON(fixture.tokenizer, 'here');

test('the ids equal those of transformers, string for string', () => {
  const wrong = fixture.texts.flatMap((text, i) =>
    tokenizer.encode(text).join() === fixture.ids[i]?.join() ? [] : [text],
  );
  assert.deepEqual(wrong, []);
});

test('its tokenizer.json gives the same encoding again', () => {
  const again = WordPieceTokenizer.fromJSON(JSON.parse(JSON.stringify(tokenizer)), 'here');
  assert.equal(JSON.stringify(again), JSON.stringify(fixture.tokenizer));
  assert.ok(isWordPieceTokenizer(fixture.tokenizer));
});

test('the special tokens are those of its template', () => {
  assert.equal(tokenizer.start, tokenizer.idOf('[CLS]'));
  assert.equal(tokenizer.end, tokenizer.idOf('[SEP]'));
});

describe('a tokenizer that would encode otherwise is refused with the part', () => {
  for (const [name, change, part] of [
    ['cased', { normalizer: { ...fixture.tokenizer.normalizer, lowercase: false } }, /normalizer\.lowercase/],
    [
      'another prefix',
      { model: { ...fixture.tokenizer.model, continuing_subword_prefix: '@@' } },
      /continuing_subword_prefix/,
    ],
    ['no [CLS]', { model: { ...fixture.tokenizer.model, vocab: { '[UNK]': 0 } } }, /\[PAD\]/],
  ] as const)
    test(name, () =>
      assert.throws(
        () => WordPieceTokenizer.fromJSON({ ...fixture.tokenizer, ...change }, 'here'),
        (error) =>
          error instanceof DataError && error.code === 'E_TOKENIZER_UNUSABLE' && part.test(error.message),
      ),
    );
});
