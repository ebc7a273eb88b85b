// Sampling with DALL·E mini at a published size and random weights, timed in turn with min-dalle: from the prompt to a
// number of image tokens of one image, with guidance.
//
//   node --import tsx scripts/bench/min-dalle.ts FOLDER [--tokens 16] [--rounds 3] [--precision bfloat16] [--apart]
//     [--json]
//
// FOLDER is what scripts/check/min-dalle.ts leaves with --folder: both sides read their weights from it. Python with
// min-dalle is that of the virtual environment MM_PEERS, ~/.cache/mm-peers by default. Both are in memory at once; with
// --apart each is started for its turns alone, which mega takes on a machine of less than 32 GB.

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError } from '../../src/util/errors.ts';
import { inTurn, ratio, spread, type Turn } from './in-turn.ts';
import { count, peersPython, runScript } from './script.ts';

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      tokens: { type: 'string', default: '16' },
      rounds: { type: 'string', default: '3' },
      precision: { type: 'string', default: 'float32' },
      apart: { type: 'boolean', default: false },
      json: { type: 'boolean' },
    },
  });
  const [folder] = positionals;
  if (folder === undefined)
    throw new UsageError('there is no folder of weights', { code: 'E_ARGUMENT', where: 'min-dalle.ts' });
  const tokens = count('--tokens', values.tokens);
  const turns: Record<string, Turn[]> = await inTurn(
    [
      {
        name: 'mm',
        module: new URL('min-dalle-mm.ts', import.meta.url),
        args: [join(folder, 'converted'), String(tokens), values.precision],
      },
      {
        name: 'min-dalle',
        module: new URL('python-side.ts', import.meta.url),
        args: [peersPython(), 'min_dalle_peer.py', folder, String(tokens)],
      },
    ],
    {
      rounds: count('--rounds', values.rounds),
      steps: 1,
      warmup: 1,
      apart: values.apart,
      onTurn: (name, round, { milliseconds }) =>
        console.error(`round ${round} ${name}: ${milliseconds.map((ms) => ms.toFixed(0)).join(' ')} ms`),
    },
  );
  const [own, theirs] = [turns.mm as Turn[], turns['min-dalle'] as Turn[]];
  const report = Object.entries(turns).map(([name, all]) => ({
    name,
    tokensPerSecond: spread(
      all.slice(1).flatMap(({ milliseconds }) => milliseconds.map((ms) => (1000 * tokens) / ms)),
    ),
    peakMegabytes: all.at(-1)?.peakMegabytes,
  }));
  const times = ratio(theirs, own);
  if (values.json) console.log(JSON.stringify({ report, times }));
  else {
    for (const { name, tokensPerSecond: t, peakMegabytes } of report)
      console.log(
        `${name}: ${t.median.toFixed(2)} tokens/s (${t.min.toFixed(2)} to ${t.max.toFixed(2)}), ${peakMegabytes?.toFixed(0)} MB at most`,
      );
    console.log(
      `min-dalle takes ${times.median.toFixed(2)} times as long (${times.min.toFixed(2)} to ${times.max.toFixed(2)})`,
    );
  }
}

await runScript(main);
