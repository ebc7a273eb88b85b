// Captions to ids on one thread, mm against Python's `tokenizers`, taken in turn, for each kind of tokenizer:
//
//   node --import tsx scripts/bench/tokenizers.ts FOLDER [NAME…] [--captions 1000000] [--rounds 9]
//
// FOLDER keeps the captions and the tokenizers, which are written first where they are missing; each round, and the
// warm-up, encodes an equal share of the captions. Both sides' ids are compared. Python is that of MM_PEERS.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { UsageError } from '../../src/util/errors.ts';
import { inTurn, ratio, spread, type Turn } from './in-turn.ts';
import { count, peersPython, runScript } from './script.ts';

const NAMES = [
  ...[16384, 49408].flatMap((merges) => ['mm', 'clip', 'gpt2'].map((kind) => `${kind}-${merges}`)),
  'bert-30000',
  'unigram-32000',
  't5-32000',
  'llama-32000',
];

await runScript(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      captions: { type: 'string', default: '1000000' },
      rounds: { type: 'string', default: '9' },
    },
  });
  const [folder, ...given] = positionals;
  if (folder === undefined)
    throw new UsageError('name a folder for the captions', { code: 'E_ARGUMENT', where: 'tokenizers.ts' });
  const captions = count('--captions', values.captions);
  const rounds = count('--rounds', values.rounds);
  const script = fileURLToPath(new URL('encode_captions.py', import.meta.url));
  const names = given.length > 0 ? given : NAMES;
  if (names.some((name) => !existsSync(join(folder, `${name}.json`))))
    await promisify(execFile)(peersPython(), [script, 'write', folder, String(captions)]);
  const batch = Math.floor(captions / (rounds + 1));
  for (const name of names) {
    const args = [folder, name, String(batch)];
    const python = [peersPython(), 'encode_captions.py', 'encode', ...args];
    const turns = await inTurn(
      [
        { name: 'mm', module: new URL('tokenizers-mm.ts', import.meta.url), args },
        { name: 'python', module: new URL('python-side.ts', import.meta.url), args: python },
      ],
      { rounds, steps: 1, warmup: 1 },
    );
    const isEqual = turns.mm.every(({ values: [mine] }, i) => mine === turns.python[i]?.values[0]);
    const rate = (all: readonly Turn[]): string =>
      Math.round(
        (1000 * batch) / spread(all.slice(1).flatMap(({ milliseconds }) => milliseconds)).median,
      ).toLocaleString('en');
    const { median, min, max } = ratio(turns.python, turns.mm);
    console.log(
      `${name}: mm ${rate(turns.mm)} captions/s, Python ${rate(turns.python)}; ${median.toFixed(2)} times as fast (${min.toFixed(2)} to ${max.toFixed(2)}); ids ${isEqual ? 'equal' : 'DIFFER'}`,
    );
    if (!isEqual) process.exitCode = 1;
  }
});
