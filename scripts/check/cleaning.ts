// Compares the cleaning of captions with ftfy's and Python's on many strings:
//
//   python scripts/fixtures/cleaning.py 20000 cleaned.json
//   node --import tsx scripts/check/cleaning.ts cleaned.json

import { readFile } from 'node:fs/promises';
import { CLEANINGS, clean } from '../../src/tokenizers/cleaning/clean.ts';
import { fixText } from '../../src/tokenizers/cleaning/fix-text.ts';
import { unescapeHtml } from '../../src/tokenizers/cleaning/html.ts';

const [file] = process.argv.slice(2);
if (!file) throw new Error('usage: cleaning.ts CLEANED_JSON');
const rows = JSON.parse(await readFile(file, 'utf8')) as readonly (readonly string[])[];
const steps = [fixText, unescapeHtml, ...CLEANINGS.map((kind) => (text: string) => clean(text, kind))];
const names = ['ftfy.fix_text', 'html.unescape', ...CLEANINGS];
for (const [i, name] of names.entries()) {
  const wrong = rows.filter((row) => steps[i]?.(row[0] as string) !== row[i + 1]);
  console.log(`${name}: ${rows.length - wrong.length} of ${rows.length} strings are equal`);
  for (const row of wrong.slice(0, 5))
    console.log(JSON.stringify([row[0], steps[i]?.(row[0] as string), row[i + 1]]));
  if (wrong.length > 0) process.exitCode = 1;
}
