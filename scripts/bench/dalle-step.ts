// A train step of the joint Transformer, taken in turn with others.
//
//   node --import tsx scripts/bench/dalle-step.ts peers [--rounds 8] [--steps 3] [--json]
//       the 6.9 M model of train-step.ts: mm, DALLE-pytorch, PyTorch eager with fused attention, torch.compile. Python
//       with these is that of the virtual environment MM_PEERS, ~/.cache/mm-peers by default
//   node --import tsx scripts/bench/dalle-step.ts sparse [--rounds 8] [--steps 2] [--json]
//       256 + 1024 tokens, width 512, 8 layers, batch 2: row, column and convolutional attention against full, time
//       and peak memory

import { parseArgs } from 'node:util';
import { UsageError } from '../../src/util/errors.ts';
import { FULL, LONG, PUBLISHED, SMALL } from './dalle-models.ts';
import { type Contestant, inTurn, ratio, spread, type Turn } from './in-turn.ts';
import { peersPython, runScript } from './script.ts';

const WARMUP = 3;

const mm = (name: string, model: object, batch: number): Contestant => ({
  name,
  module: new URL('dalle-step-mm.ts', import.meta.url),
  args: [JSON.stringify(model), String(batch)],
});

function peers(): Contestant[] {
  const python = peersPython();
  const torch = (name: string, kind: string): Contestant => ({
    name,
    module: new URL('python-side.ts', import.meta.url),
    args: [python, 'dalle_step.py', kind],
  });
  return [
    mm('mm', SMALL, 8),
    torch('DALLE-pytorch', 'dalle-pytorch'),
    torch('PyTorch eager, SDPA', 'eager'),
    torch('torch.compile', 'compile'),
  ];
}

const sparse = (): Contestant[] => [
  mm('row, column, conv', { ...LONG, ...PUBLISHED }, 2),
  mm('full', { ...LONG, ...FULL }, 2),
];

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '8' },
      steps: { type: 'string', default: '3' },
      json: { type: 'boolean' },
    },
  });
  const [which] = positionals;
  if (which !== 'peers' && which !== 'sparse')
    throw new UsageError('choose a benchmark: peers or sparse', {
      code: 'E_ARGUMENT',
      where: 'dalle-step.ts',
    });
  const contestants = which === 'peers' ? peers() : sparse();
  const turns: Record<string, Turn[]> = await inTurn(contestants, {
    rounds: Number(values.rounds),
    steps: Number(values.steps),
    warmup: WARMUP,
    onTurn: (name, round, { milliseconds }) =>
      console.error(`round ${round} ${name}: ${milliseconds.map((ms) => ms.toFixed(0)).join(' ')} ms`),
  });
  const first = turns[contestants[0]!.name] as Turn[];
  const report = contestants.map(({ name }) => {
    const own = turns[name] as Turn[];
    return {
      name,
      milliseconds: spread(own.slice(1).flatMap(({ milliseconds }) => milliseconds)),
      timesFirst: ratio(own, first),
      peakMegabytes: own.at(-1)?.peakMegabytes,
      loss: own.at(-1)?.values.at(-1),
    };
  });
  if (values.json) console.log(JSON.stringify(report));
  else
    for (const { name, milliseconds, timesFirst, peakMegabytes, loss } of report) {
      const { median, min, max } = milliseconds;
      const memory = peakMegabytes === undefined ? '' : `, ${peakMegabytes.toFixed(0)} MB at most`;
      const times = `${timesFirst.median.toFixed(2)} (${timesFirst.min.toFixed(2)} to ${timesFirst.max.toFixed(2)})`;
      console.log(
        `${name.padEnd(20)} ${median.toFixed(0)} ms a step (${min.toFixed(0)} to ${max.toFixed(0)}), ${times} times the first${memory}; loss ${loss?.toFixed(3)}`,
      );
    }
}

await runScript(main);
