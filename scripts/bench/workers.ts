// What an exchange costs: a train step of the joint Transformer by two workers, uncompressed and compressed, next to the
// step of one worker on half the batch, each on a separate processor core. Processor time is that of a worker: of two
// it is half of both.
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
  const steps = count('--steps', values.steps);
  const contestant = <Name extends string>(
    name: Name,
    workers: number,
    train: object = {},
  ): Contestant & { name: Name } => ({
    name,
    module: new URL('workers-mm.ts', import.meta.url),
    args: [
      String(workers),
      JSON.stringify(SMALL),
      String((count('--batch', values.batch) * workers) / 2),
      JSON.stringify(train),
    ],
  });
  const turns = await inTurn(
    [
      contestant('one worker', 1),
      contestant('two workers', 2),
      contestant('two workers, ring', 2, { allReduce: 'ring' }),
      contestant('two workers, compressed', 2, { compression }),
    ],
    { rounds: count('--rounds', values.rounds), steps, warmup: 2 },
  );
  const alone = turns['one worker'];
  for (const [name, of] of Object.entries<Turn[]>(turns)) {
    const own = of.slice(1);
    const milliseconds = spread(own.map((turn) => spread(turn.milliseconds).median));
    const toAlone = ratio(of, alone);
    const workers = of === alone ? 1 : 2;
    const processor = own.map((turn) => (turn.processorMilliseconds ?? Number.NaN) / steps / workers);
    const processorMilliseconds = spread(processor);
    const processorToAlone = spread(
      processor.map((each, i) => (each * steps) / (alone[i + 1]?.processorMilliseconds ?? Number.NaN)),
    );
    if (values.json)
      console.log(JSON.stringify({ name, milliseconds, toAlone, processorMilliseconds, processorToAlone }));
    else {
      const times = [milliseconds, processorMilliseconds].map(
        ({ median, min, max }) => `${median.toFixed(0)} ms (${min.toFixed(0)}–${max.toFixed(0)})`,
      );
      const ratios = [toAlone, processorToAlone].map(
        ({ median, min, max }) => `× ${median.toFixed(3)} (${min.toFixed(3)}–${max.toFixed(3)})`,
      );
      console.log(`${name.padEnd(26)}time ${times[0]} ${ratios[0]}, processor ${times[1]} ${ratios[1]}`);
    }
  }
}

await runScript(main);
