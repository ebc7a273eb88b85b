import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { BpeTokenizer } from '../../../src/tokenizers/bpe.ts';
import { normalizeText } from '../../../src/tokenizers/text.ts';
import { trainBpe } from '../../../src/tokenizers/train.ts';
import { DataError } from '../../../src/util/errors.ts';
import { RandomStream } from '../../../src/util/random.ts';

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`./fixtures/${name}`, import.meta.url), 'utf8'));
const strings = fixture('strings.json') as [text: string, ids: number[], decoded: string][];
const tokenizer = BpeTokenizer.fromJSON(fixture('tokenizer.json'), 'fixture');

const folder = mkdtempSync(join(tmpdir(), 'mm-bpe-'));
after(() => rmSync(folder, { recursive: true }));

describe('Hugging Face’s tokenizers', () => {
  test('give every string the same ids', () => {
    for (const [text, ids] of strings) assert.deepEqual(tokenizer.encode(text), ids, JSON.stringify(text));
  });

  test('decode the ids to the same text', () => {
    for (const [text, ids, decoded] of strings)
      assert.equal(tokenizer.decode(ids), decoded, JSON.stringify(text));
  });

  test('read the same from their file after it was read and written here', () => {
    const theirs = fixture('tokenizer.json') as { model: { merges: [string, string][] } };
    const merges = theirs.model.merges.map((pair) => pair.join(' '));
    assert.deepEqual(JSON.parse(JSON.stringify(tokenizer)), {
      ...theirs,
      model: { ...theirs.model, merges },
    });
  });
});

describe('normalized text', () => {
  const cases: [text: string, normal: string][] = [
    ['  A\t\u00a0Red\n\nCAT ', 'a red cat'],
    ['nai\u0308ve', 'naïve'],
    ['İ', 'i\u0307'],
    ['ΟΔΟΣ ΟΔΟΣ', 'οδοσ οδοσ'],
    ['\u2126', 'ω'],
    [' \n ', ''],
    ['a\u0000b', 'a\u0000b'],
    ['\ufeffa\u200b', '\ufeffa\u200b'],
  ];
  for (const [text, normal] of cases) {
    test(JSON.stringify(text), () => assert.equal(normalizeText(text), normal));
  }
});

describe('encoding and decoding', () => {
  test('give back the normalized text', () => {
    for (const [text] of strings) assert.equal(tokenizer.decode(tokenizer.encode(text)), normalizeText(text));
  });

  test('give the same ids with and without the cache', () => {
    const fresh = BpeTokenizer.fromJSON(fixture('tokenizer.json'), 'fixture');
    for (const [text] of strings) assert.deepEqual(fresh.encode(text), tokenizer.encode(text));
  });

  test('turn a lone surrogate into the replacement character', () => {
    assert.equal(tokenizer.decode(tokenizer.encode('a\ud800b')), 'a\ufffdb');
  });

  test('give a word the same ids at the start and inside', () => {
    assert.deepEqual(tokenizer.encode('red'), tokenizer.encode('a red').slice(tokenizer.encode('a').length));
  });

  test('replace bytes that are not UTF-8, and refuse unknown ids', () => {
    const { vocab } = (fixture('tokenizer.json') as { model: { vocab: Record<string, number> } }).model;
    assert.equal(tokenizer.decode([vocab.Ã as number]), '\ufffd', 'the first byte of é alone');
    assert.equal(tokenizer.decode([]), '');
    for (const id of [-1, 0.5, tokenizer.vocabularySize])
      assert.throws(() => tokenizer.decode([id]), RangeError);
  });
});

describe('dropout', () => {
  const text = 'a small red circle on the large blue square';

  test('changes the ids, not the text, and follows the stream', () => {
    const draw = (seed: number): number[] =>
      tokenizer.encode(text, { dropout: 0.5, random: new RandomStream('dropout', seed) });
    assert.deepEqual(draw(1), draw(1));
    assert.notDeepEqual(draw(1), draw(2));
    assert.ok(draw(1).length > tokenizer.encode(text).length);
    assert.equal(tokenizer.decode(draw(1)), text);
  });

  test('of 1 gives bytes, and of 0 the usual ids', () => {
    const random = new RandomStream('dropout');
    assert.equal(tokenizer.encode(text, { dropout: 1, random }).length, text.length + 1);
    assert.deepEqual(tokenizer.encode(text, { dropout: 0, random }), tokenizer.encode(text));
  });

  test('needs a random stream', () => {
    assert.throws(() => tokenizer.encode(text, { dropout: 0.1 }), RangeError);
  });
});

describe('files', () => {
  test('a saved tokenizer loads as the same', async () => {
    const trained = await trainBpe(Array(40).fill('a photo of a cat'), { vocabulary: 262 });
    const path = join(folder, 'deep', 'tokenizer.json');
    await trained.save(path);
    const loaded = await BpeTokenizer.load(path);
    assert.deepEqual(loaded.toJSON(), trained.toJSON());
    assert.equal(loaded.vocabularySize, 262);
  });

  test('a token may have the name of a property', () => {
    const text = JSON.stringify(fixture('tokenizer.json')).replace('"vocab":{', '"vocab":{"__proto__":583,');
    const loaded = BpeTokenizer.fromJSON(JSON.parse(text), 'x.json');
    assert.equal(loaded.decode([583]), '__proto__');
    assert.ok(JSON.stringify(loaded).includes('"__proto__":583'));
  });

  interface File {
    [key: string]: unknown;
    normalizer: unknown;
    pre_tokenizer: Record<string, unknown>;
    model: { [key: string]: unknown; vocab: Record<string, unknown>; merges: unknown[] };
  }
  const broken: [name: string, change: (file: File) => unknown, message: RegExp][] = [
    ['a list', () => [], /the file: /],
    ['null', () => null, /the file: /],
    ['another model', (file) => Object.assign(file.model, { type: 'Unigram' }), /model\.type/],
    ['another normalizer', (file) => Object.assign(file, { normalizer: null }), /normalizer: /],
    [
      'no space before',
      (file) => Object.assign(file.pre_tokenizer, { add_prefix_space: false }),
      /pre_tokenizer: /,
    ],
    ['an unknown option', (file) => Object.assign(file.pre_tokenizer, { other: 1 }), /pre_tokenizer: /],
    ['added tokens', (file) => Object.assign(file, { added_tokens: [{ content: '<s>' }] }), /added tokens/],
    ['its own dropout', (file) => Object.assign(file.model, { dropout: 0.1 }), /model\.dropout/],
    [
      'end-of-word suffix',
      (file) => Object.assign(file.model, { end_of_word_suffix: '</w>' }),
      /end_of_word_suffix/,
    ],
    ['no vocabulary', (file) => Object.assign(file.model, { vocab: [] }), /model\.vocab/],
    [
      'an id twice',
      (file) => Object.assign(file.model.vocab, { b: file.model.vocab.a }),
      /token b has the id/,
    ],
    ['an id too large', (file) => Object.assign(file.model.vocab, { a: 1e6 }), /token a has the id 1000000/],
    [
      'an id that is not a number',
      (file) => Object.assign(file.model.vocab, { a: 'x' }),
      /token a has the id x/,
    ],
    ['a byte missing', (file) => delete file.model.vocab.a, /id|"a"/],
    [
      'a character outside the alphabet',
      (file) => Object.assign(file.model.vocab, { 字: 583 }),
      /byte alphabet/,
    ],
    ['a merge of one', (file) => file.model.merges.push('a'), /model\.merges\.327/],
    ['a merge of three', (file) => file.model.merges.push('a b c'), /model\.merges\.327/],
    ['a merge of numbers', (file) => file.model.merges.push([1, 2]), /model\.merges\.327/],
    ['a merge into nothing', (file) => file.model.merges.push('z q'), /token "zq" is not in the vocabulary/],
    ['a merge twice', (file) => file.model.merges.push(file.model.merges[0]), /has two merges/],
  ];
  for (const [name, change, message] of broken) {
    test(`a tokenizer.json is refused for ${name}`, () => {
      const file = structuredClone(fixture('tokenizer.json')) as File;
      const changed = change(file);
      const value = changed === null || Array.isArray(changed) ? changed : file;
      assert.throws(
        () => BpeTokenizer.fromJSON(value, 'x.json'),
        (error) =>
          error instanceof DataError &&
          error.code === 'E_TOKENIZER_UNUSABLE' &&
          error.where === 'x.json' &&
          message.test(error.message),
      );
    });
  }

  test('a missing file and one that is not JSON are refused', async () => {
    const path = join(folder, 'x.json');
    await assert.rejects(BpeTokenizer.load(path), { name: 'DataError', code: 'E_NOT_FOUND', where: path });
    writeFileSync(path, '{');
    await assert.rejects(BpeTokenizer.load(path), { code: 'E_TOKENIZER_UNUSABLE', where: path });
  });
});
