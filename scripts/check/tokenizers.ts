// Compares tokenizers with Hugging Face's library on many strings, with the files of scripts/fixtures/:
//
//   python scripts/fixtures/hugging_face_tokenizers.py 12000 FOLDER
//   node --import tsx scripts/check/tokenizers.ts FOLDER/*.ids.json
//
// or those of clip_tokenizer.py. Beside each NAME.ids.json stands its tokenizer, NAME.json.

import { readFile } from 'node:fs/promises';
import { loadTokenizer } from '../../src/tokenizers/load.ts';

interface Expected {
  readonly texts: readonly string[];
  readonly ids: readonly (readonly number[])[];
  readonly decoded?: readonly string[];
}

const files = process.argv.slice(2);
if (files.length === 0) throw new Error('usage: tokenizers.ts NAME.ids.json…');
for (const file of files) {
  const tokenizer = await loadTokenizer(file.replace(/\.ids\.json$/, '.json'));
  const { texts, ids, decoded = [] } = JSON.parse(await readFile(file, 'utf8')) as Expected;
  const wrong = texts.flatMap((text, i) => {
    const got = tokenizer.encode(text);
    return got.join() === ids[i]?.join() ? [] : [{ text, got, expected: ids[i] }];
  });
  const unlike = decoded.filter((text, i) => tokenizer.decode(ids[i] as number[]) !== text);
  for (const each of wrong.slice(0, 10)) console.log(JSON.stringify(each));
  console.log(
    `${file}: ${texts.length - wrong.length} of ${texts.length} strings have the same ids, ${unlike.length} of ${decoded.length} another text`,
  );
  if (wrong.length > 0) process.exitCode = 1;
}
