// Tokenizers as Hugging Face's programs read them, read back by mm's reader of such files, which gives their ids
// (test/unit/tokenizers/hugging-face.test.ts and scripts/check/tokenizers.ts).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ClipTokenizer } from '../../../src/tokenizers/clip.ts';
import { HuggingFaceTokenizer } from '../../../src/tokenizers/hugging-face/tokenizer.ts';
import { huggingFaceJson, withStartAndEnd } from '../../../src/tokenizers/hugging-face/written.ts';
import { trainBpe } from '../../../src/tokenizers/train.ts';
import { YouTokenToMeTokenizer } from '../../../src/tokenizers/youtokentome.ts';

const OPTIONS = { where: 'here', withoutCleaning: false };
const TEXTS = [
  '',
  ' ',
  'a cat',
  '  two\tcats \n',
  'łódź 🙂 cat🙂🙂s',
  'a▁b ▁ cat',
  '\u3000cats\u00a0',
  'CATS cat!',
];

const model = new URL('../../parity/fixtures/dalle-pytorch/tokenizers/yttm.model', import.meta.url);

test('a model of YouTokenToMe gives the same ids as a tokenizer.json', () => {
  const own = YouTokenToMeTokenizer.fromModel(readFileSync(model, 'utf8'), 'yttm.model');
  const written = HuggingFaceTokenizer.fromJSON(huggingFaceJson(own, OPTIONS), 'written');
  for (const text of TEXTS) assert.deepEqual(written.encode(text), own.encode(text), JSON.stringify(text));
  assert.equal(written.vocabularySize, own.vocabularySize);
});

test('a model of YouTokenToMe with two tokens of one spelling is refused with both', () => {
  // abc is ab + c and a + bc.
  const [space, a, b, c] = [4, 5, 6, 7];
  const characters = [
    ['▁', space],
    ['a', a],
    ['b', b],
    ['c', c],
  ];
  const rules = [
    [a, b, 8],
    [b, c, 9],
    [8, c, 10],
    [a, 9, 11],
  ];
  const special = { unknown: 1, padding: 0, start: 2, end: 3 };
  const json = { model: { type: 'YouTokenToMe', characters, rules, special } };
  const own = YouTokenToMeTokenizer.fromJSON(json, 'twins');
  assert.throws(() => huggingFaceJson(own, OPTIONS), {
    code: 'E_TOKENIZER_UNWRITABLE',
    where: 'here',
    message: /10 and 11/,
  });
});

test('a tokenizer that cleans texts is refused, or written without the cleaning', () => {
  const plain = ClipTokenizer.fromMerges('#version: 0.2\na t</w>\nc at</w>\n', 'merges.txt');
  const cleaned = plain.cleaned('lower');
  assert.throws(() => huggingFaceJson(cleaned, OPTIONS), { code: 'E_TOKENIZER_UNWRITABLE' });
  assert.deepEqual(huggingFaceJson(cleaned, { ...OPTIONS, withoutCleaning: true }), plain.toJSON());
});

test('byte pairs get a start and an end token after their own ids; those of CLIP have them', async () => {
  const own = await trainBpe(['a cat', 'two cats'], { vocabulary: 260 });
  const written = HuggingFaceTokenizer.fromJSON(
    withStartAndEnd(huggingFaceJson(own, OPTIONS), own),
    'written',
  );
  assert.deepEqual(written.around, { start: own.vocabularySize, end: own.vocabularySize + 1 });
  for (const text of TEXTS) assert.deepEqual(written.encode(text), own.encode(text), JSON.stringify(text));
  const clip = ClipTokenizer.fromMerges('#version: 0.2\n', 'merges.txt');
  assert.deepEqual(withStartAndEnd(huggingFaceJson(clip, OPTIONS), clip), clip.toJSON());
});
