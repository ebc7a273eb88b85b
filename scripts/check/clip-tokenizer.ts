// Compares CLIP's tokenizer with transformers' on many strings, the whole vocabulary:
//
//   python scripts/fixtures/clip_tokenizer.py 12000 tokenizer.json ids.json
//   node --import tsx scripts/check/clip-tokenizer.ts tokenizer.json ids.json

import { readFile } from 'node:fs/promises';
import { loadTokenizer } from '../../src/tokenizers/load.ts';

const [tokenizerFile, idsFile] = process.argv.slice(2);
if (!tokenizerFile || !idsFile) throw new Error('usage: clip-tokenizer.ts TOKENIZER_JSON IDS_JSON');
const tokenizer = await loadTokenizer(tokenizerFile);
const { texts, ids } = JSON.parse(await readFile(idsFile, 'utf8')) as { texts: string[]; ids: number[][] };
const wrong = texts.flatMap((text, i) => {
  const got = tokenizer.encode(text);
  return got.join() === ids[i]!.join() ? [] : [{ text, got, expected: ids[i] }];
});
for (const each of wrong.slice(0, 10)) console.log(JSON.stringify(each));
console.log(`${texts.length - wrong.length} of ${texts.length} strings have the same ids`);
process.exitCode = wrong.length === 0 ? 0 : 1;
