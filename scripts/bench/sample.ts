// Sampling of image tokens, timed in turn with other programs.
//
//   node --import tsx scripts/bench/sample.ts peers [--batch 4] [--rounds 5] [--json]
//       64 + 256 tokens, width 256, 4 layers, full attention: mm, and DALLE-pytorch's generate_images with its cache.
//       Python with it is that of the virtual environment MM_PEERS, ~/.cache/mm-peers by default
//   node --import tsx scripts/bench/sample.ts positions [--batch 4] [--rounds 3] [--json]
//       256 + 1024 tokens, width 256, 4 layers: how many times as long the last positions of an image take as the
//       first ones, with sparse attention and with full

import { parseArgs } from 'node:util';
import { UsageError } from '../../src/util/errors.ts';
import { SMALL } from './dalle-models.ts';
import { type Contestant, inTurn, ratio, spread, type Turn } from './in-turn.ts';
import { count, peersPython, runScript } from './script.ts';

const long = { ...SMALL, textLength: 256, grid: 32 };

const mm = (name: string, model: object, batch: number, value: 'mean' | 'growth'): Contestant => ({
  name,
  module: new URL('sample-mm.ts', import.meta.url),
  args: [JSON.stringify(model), String(batch), value],
});

const peers = (batch: number): Contestant[] => [
  mm('mm', SMALL, batch, 'mean'),
  {
    name: 'DALLE-pytorch',
    module: new URL('python-side.ts', import.meta.url),
    args: [peersPython(), 'sample.py', String(batch)],
  },
];

const positions = (batch: number): Contestant[] => [
  mm('row, column, conv', { ...long, attention: ['row', 'column', 'row', 'conv'] }, batch, 'growth'),
  mm('full', long, batch, 'growth'),
];

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      batch: { type: 'string', default: '4' },
      rounds: { type: 'string' },
      json: { type: 'boolean' },
    },
  });
  const [which] = positionals;
  if (which !== 'peers' && which !== 'positions')
    throw new UsageError('choose a benchmark: peers or positions', {
      code: 'E_ARGUMENT',
      where: 'sample.ts',
    });
  const batch = count('--batch', values.batch);
  const contestants = which === 'peers' ? peers(batch) : positions(batch);
  const tokens = batch * (which === 'peers' ? SMALL : long).grid ** 2;
  const turns: Record<string, Turn[]> = await inTurn(contestants, {
    rounds: count('--rounds', values.rounds ?? (which === 'peers' ? '5' : '3')),
    steps: 1,
    warmup: 1,
    onTurn: (name, round, { milliseconds }) =>
      console.error(`round ${round} ${name}: ${milliseconds.map((ms) => ms.toFixed(0)).join(' ')} ms`),
  });
  const first = turns[(contestants[0] as Contestant).name] as Turn[];
  const report = contestants.map(({ name }) => {
    const own = turns[name] as Turn[];
    const timed = own.slice(1);
    return {
      name,
      tokensPerSecond: spread(
        timed.flatMap(({ milliseconds }) => milliseconds).map((ms) => (1000 * tokens) / ms),
      ),
      timesFirst: ratio(own, first),
      ...(which === 'positions' && { lastToFirst: spread(timed.flatMap((turn) => turn.values)) }),
    };
  });
  if (values.json) console.log(JSON.stringify({ batch, report }));
  else
    for (const { name, tokensPerSecond, timesFirst, lastToFirst } of report) {
      const { median, min, max } = tokensPerSecond;
      const times = `${timesFirst.median.toFixed(2)} (${timesFirst.min.toFixed(2)} to ${timesFirst.max.toFixed(2)})`;
      const growth = lastToFirst
        ? `; the last positions take ${lastToFirst.median.toFixed(2)} times the first`
        : '';
      console.log(
        `${name.padEnd(18)} ${median.toFixed(0)} tokens/s (${min.toFixed(0)} to ${max.toFixed(0)}), ${times} times as long as the first${growth}`,
      );
    }
}

await runScript(main);
