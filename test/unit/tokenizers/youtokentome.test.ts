// YouTokenToMe's models against its own package; scripts/fixtures/yttm_model.py wrote the ids.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { isYouTokenToMe, YouTokenToMeTokenizer } from '../../../src/tokenizers/youtokentome.ts';
import { RandomStream } from '../../../src/util/random.ts';

const file = new URL('fixtures/youtokentome.json.gz', import.meta.url);
const { model, texts, ids, decoded } = JSON.parse(gunzipSync(readFileSync(file)).toString()) as {
  readonly model: string;
  readonly texts: readonly string[];
  readonly ids: readonly (readonly number[])[];
  readonly decoded: readonly string[];
};
const tokenizer = YouTokenToMeTokenizer.fromModel(model, 'here');

test('every string has the ids of the package', () => {
  assert.ok(isYouTokenToMe(model));
  const wrong = texts.filter((text, i) => tokenizer.encode(text).join() !== ids[i]?.join());
  assert.deepEqual(wrong, []);
  assert.ok(ids.flat().filter((id) => id === 1).length > 100, 'unknown characters are among them');
});

test('ids become text again, unknown characters a mark', () => {
  for (const [i, text] of decoded.entries())
    assert.equal(tokenizer.decode(ids[i] as number[]), text.replaceAll('<UNK>', '\ufffd').trim());
  assert.throws(() => tokenizer.decode([9999]), RangeError);
});

test('its tokenizer.json gives the same encoding', () => {
  const again = YouTokenToMeTokenizer.fromJSON(JSON.parse(JSON.stringify(tokenizer)), 'here');
  assert.equal(JSON.stringify(again), JSON.stringify(tokenizer));
  for (const text of texts.slice(0, 50)) assert.deepEqual(again.encode(text), tokenizer.encode(text));
});

test("lower-cased, texts have the ids of Python's lower() and strip(), also when it is read again", () => {
  const lower = tokenizer.lowerCased();
  const again = YouTokenToMeTokenizer.fromJSON(JSON.parse(JSON.stringify(lower)), 'here');
  for (const [text, python] of [
    ['\u00a0A Photo of ΟΔΥΣΣΕΥΣ\u2003', 'a photo of οδυσσευς'],
    ['İstanbul ẞ', 'i\u0307stanbul ß'],
    ['КРУГ\u001f', 'круг'],
  ] as const)
    for (const each of [lower, again]) assert.deepEqual(each.encode(text), tokenizer.encode(python));
  assert.notDeepEqual(lower.encode('A'), tokenizer.encode('A'));
});

test('with dropout there are more tokens of the same text', () => {
  const text = 'a photo of the cat';
  const dropped = tokenizer.encode(text, { dropout: 0.5, random: new RandomStream(1, 'test') });
  assert.ok(dropped.length > tokenizer.encode(text).length);
  assert.equal(tokenizer.decode(dropped), text);
});

describe('a damaged file is refused', () => {
  const lines = model.trim().split('\n');
  for (const [name, text] of [
    ['cut', lines.slice(0, -3).join('\n')],
    ['letters', model.replace('\n', '\nx ')],
    ['a rule twice', [...lines.slice(0, -2), lines.at(-3), lines.at(-1)].join('\n')],
    ['no space', model.replace(/^9601 /m, '9600 ')],
  ] as const)
    test(name, () =>
      assert.throws(() => YouTokenToMeTokenizer.fromModel(text, 'here'), { code: 'E_TOKENIZER_UNUSABLE' }),
    );
});
