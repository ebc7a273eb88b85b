// Byte pairs word by word, where no merge reaches from one word into the next.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytePairs } from '../../../src/tokenizers/hugging-face/byte-pairs.ts';
import { RandomStream } from '../../../src/util/random.ts';

const fail = (what: string): never => {
  throw new Error(what);
};
/** Without c, which becomes bytes or the unknown token; d is neither. */
const TOKENS = ['<unk>', '▁', 'a', 'b', '<0x63>', 'ab', 'ba', '▁a', '▁ab', 'aba', '▁▁', '▁▁a'];
const MERGES = [
  ['a', 'b'],
  ['▁', '▁'],
  ['▁', 'a'],
  ['ab', 'a'],
  ['b', 'a'],
  ['▁', 'ab'],
  ['▁▁', 'a'],
] as const;

const model = (more: Partial<Parameters<typeof bytePairs>[0]> = {}) =>
  bytePairs(
    {
      ...{ unk_token: '<unk>', fuse_unk: true, byte_fallback: true, ignore_merges: false },
      ...{ continuing_subword_prefix: '', end_of_word_suffix: '' },
      vocab: new Map(TOKENS.map((token, id) => [token, id])),
      merges: MERGES,
      ...more,
    },
    fail,
  );

test('words encoded one by one have the ids of the whole text', () => {
  const random = new RandomStream('words');
  for (const settings of [{}, { fuse_unk: false }, { byte_fallback: false }, { ignore_merges: true }]) {
    const { encode, words = fail } = model(settings);
    let several = 0;
    for (let i = 0; i < 2000; i++) {
      const text = Array.from({ length: 1 + random.integer(16) }, () => random.choice([...'▁▁aabbcd'])).join(
        '',
      );
      const parts = words(text) as readonly string[];
      if (parts.length > 1) several++;
      assert.equal(parts.join(''), text);
      assert.deepEqual(parts.flatMap(encode), encode(text), text);
    }
    assert.ok(several > 1000);
  }
});

test('a text stays whole where a token reaches into the next word, or its place in the text matters', () => {
  const vocab = new Map([...TOKENS, 'a▁', 'b▁a'].map((token, id) => [token, id]));
  assert.equal(model({ vocab, merges: [...MERGES, ['a', '▁']] }).words, undefined);
  assert.equal(model({ vocab, ignore_merges: true }).words, undefined);
  assert.ok(model({ vocab }).words);
  assert.equal(model({ continuing_subword_prefix: '##', merges: [] }).words, undefined);
  assert.equal(model({ end_of_word_suffix: '</w>', merges: [] }).words, undefined);
  assert.equal(model({ vocab: new Map([['<unk>', 0]]), merges: [] }).words, undefined);
});
