// SentencePiece's models against its own library; scripts/fixtures/sentence_piece.py wrote the ids.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { HuggingFaceTokenizer } from '../../../src/tokenizers/hugging-face/tokenizer.ts';
import { loadTokenizer } from '../../../src/tokenizers/load.ts';

interface Layout {
  readonly name: string;
  readonly model: string;
  readonly ids: readonly (readonly number[])[];
}

const file = new URL('fixtures/sentence-piece.json.gz', import.meta.url);
const fixture = JSON.parse(gunzipSync(readFileSync(file)).toString()) as {
  readonly t5: Layout;
  readonly 'xlm-roberta': Layout;
  readonly texts: readonly string[];
  readonly bpe: string;
};
const root = mkdtempSync(join(tmpdir(), 'mm-sentence-piece-'));
after(() => rmSync(root, { recursive: true }));

function written(name: string, bytes: Buffer): string {
  const path = join(root, name);
  writeFileSync(path, bytes);
  return path;
}

for (const [layout, around] of [
  ['t5', { start: undefined, end: 1 }],
  ['xlm-roberta', { start: 0, end: 2 }],
] as const)
  test(`${layout}: every string has the ids of SentencePiece`, async () => {
    const { name, model, ids } = fixture[layout];
    const tokenizer = await loadTokenizer(written(name, Buffer.from(model, 'base64')));
    assert.ok(tokenizer instanceof HuggingFaceTokenizer);
    const wrong = fixture.texts.flatMap((text, i) => {
      const got = tokenizer.encode(text);
      return got.join() === ids[i]?.join() ? [] : [{ text, got, expected: ids[i] }];
    });
    assert.deepEqual(wrong, []);
    assert.deepEqual({ ...tokenizer.around }, around);
  });

describe('another file is refused', () => {
  const model = Buffer.from(fixture.t5.model, 'base64');
  for (const [name, bytes] of [
    ['bpe.model', Buffer.from(fixture.bpe, 'base64')],
    ['cut.model', model.subarray(0, 900)],
    ['binary.model', Buffer.from([0x80, 0, 1, 2, 3])],
  ] as const)
    test(name, async () => {
      const path = written(name, bytes);
      await assert.rejects(loadTokenizer(path), { code: 'E_TOKENIZER_UNUSABLE', where: path });
    });
});
