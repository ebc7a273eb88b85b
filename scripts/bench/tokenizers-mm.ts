// mm's side of tokenizers.ts: FOLDER NAME BATCH. A step encodes the next captions.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import { serve } from './in-turn.ts';

const [folder = '', name = '', batch = ''] = process.argv.slice(2);

await serve(async () => {
  const tokenizer = await loadTokenizer(join(folder, `${name}.json`));
  const lines = (await readFile(join(folder, 'captions.txt'), 'utf8')).split('\n');
  const size = Number(batch);
  return async (step) => {
    const start = (step * size) % lines.length;
    const found = lines.slice(start, start + size).map((line) => tokenizer.encode(line));
    let check = 0;
    for (let i = 0; i < found.length; i += 1000) check = crc32((found[i] as number[]).join(','), check);
    return check;
  };
});
