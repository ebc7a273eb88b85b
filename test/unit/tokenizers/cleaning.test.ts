import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { clean } from '../../../src/tokenizers/cleaning/clean.ts';
import { fixText } from '../../../src/tokenizers/cleaning/fix-text.ts';
import { unescapeHtml } from '../../../src/tokenizers/cleaning/html.ts';

const file = new URL('fixtures/cleaning.json.gz', import.meta.url);
const rows = JSON.parse(gunzipSync(await readFile(file)).toString('utf8')) as readonly (readonly string[])[];

describe('cleaning of captions', () => {
  const steps = { 'ftfy.fix_text': fixText, 'html.unescape': unescapeHtml };
  for (const [i, [name, step]] of Object.entries(steps).entries()) {
    it(`equals ${name}`, () => {
      for (const row of rows) assert.equal(step(row[0] as string), row[1 + i], JSON.stringify(row[0]));
    });
  }

  for (const [i, kind] of (['lower', 'whitespace', 'canonicalize'] as const).entries()) {
    it(`equals open_clip's, ${kind}`, () => {
      for (const row of rows) assert.equal(clean(row[0] as string, kind), row[3 + i], JSON.stringify(row[0]));
    });
  }

  it("of transformers' SiglipTokenizer repairs nothing", () =>
    assert.equal(clean('▁A_b,\tC&amp; ΟΔΟΣ! ', 'siglip'), 'ab camp οδος'));

  it('leaves plain text alone, and is done after one pass', () => {
    assert.equal(fixText('A photo, of a cat; 5 < 6.'), 'A photo, of a cat; 5 < 6.');
    for (const row of rows) assert.equal(fixText(row[1] as string), row[1], JSON.stringify(row[1]));
  });
});
