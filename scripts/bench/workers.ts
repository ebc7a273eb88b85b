// A train step of the joint Transformer by two workers on this machine against the same step of one process with two
// micro-batches, uncompressed and compressed. The workers share the processors of the machine, so two of them are not faster than one process; on separate machines they would be.
//
//   node --import tsx scripts/bench/workers.ts [--batch 8] [--rank 4] [--rounds 8] [--steps 3] [--json]

import { parseArgs } from 'node:util';
import { SMALL } from './dalle-models.ts';
import { type Contestant, inTurn, ratio, spread, type Turn } from './in-turn.ts';
import { count, runScript } from './script.ts';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      batch: { type: 'string', default: '8' },
      rank: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '8' },
      steps: { type: 'string', default: '3' },
      json: { type: 'boolean', default: false },
    },
  });
  const compression = { rank: count('--rank', values.rank) };
  const contestant = <Name extends string>(
    name: Name,
    what: string,
    train: object,
  ): Contestant & { name: Name } => ({
    name,
    module: new URL('workers-mm.ts', import.meta.url),
    args: [what, JSON.stringify(SMALL), values.batch, JSON.stringify(train)],
  });
  const turns = await inTurn(
    [
      contestant('one process', 'alone', {}),
      contestant('two workers', 'step', {}),
      contestant('two workers, compressed', 'step', { compression }),
    ],
    { rounds: count('--rounds', values.rounds), steps: count('--steps', values.steps), warmup: 2 },
  );
  const alone = turns['one process'];
  for (const [name, of] of Object.entries<Turn[]>(turns)) {
    const milliseconds = spread(of.slice(1).map((turn) => spread(turn.milliseconds).median));
    const toAlone = ratio(of, alone);
    const loss = of.at(-1)?.values.at(-1) as number;
    if (values.json) console.log(JSON.stringify({ name, milliseconds, toAlone, loss }));
    else {
      const times = `${milliseconds.median.toFixed(0)} ms (${milliseconds.min.toFixed(0)}–${milliseconds.max.toFixed(0)})`;
      console.log(
        `${name.padEnd(26)}${times.padEnd(24)}× ${toAlone.median.toFixed(3)}  loss ${loss.toFixed(4)}`,
      );
    }
  }
}

await runScript(main);
