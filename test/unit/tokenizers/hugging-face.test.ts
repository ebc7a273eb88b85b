import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { HuggingFaceTokenizer } from '../../../src/tokenizers/hugging-face/tokenizer.ts';

interface Kind {
  readonly name: string;
  readonly tokenizer: Record<string, unknown>;
  readonly texts: readonly string[];
  readonly ids: readonly (readonly number[])[];
  readonly decoded: readonly string[];
}

const file = new URL('fixtures/kinds.json.gz', import.meta.url);
const kinds = JSON.parse(gunzipSync(await readFile(file)).toString('utf8')) as readonly Kind[];

describe("Hugging Face's tokenizers", () => {
  for (const { name, tokenizer: json, texts, ids, decoded } of kinds) {
    it(`${name} has the ids of the library`, () => {
      const tokenizer = HuggingFaceTokenizer.fromJSON(json, name);
      const got = texts.map((text) => tokenizer.encode(text));
      const wrong = texts.flatMap((text, i) =>
        got[i]?.join() === ids[i]?.join() ? [] : [{ text, got: got[i], expected: ids[i] }],
      );
      assert.deepEqual(wrong.slice(0, 3), []);
      const unlike = decoded.flatMap((expected, i) => {
        const text = tokenizer.decode(ids[i] as number[]);
        return text === expected ? [] : [{ text, expected }];
      });
      assert.deepEqual(unlike.slice(0, 3), []);
    });
  }
});
