// mm's sides of workers.ts: workers-mm.ts WHAT MODEL BATCH TRAIN. WHAT is `alone`, a step of one process, or `step`, one
// of two workers, of which this one starts the other. The value of a step is its loss.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Cluster } from '../../src/cluster/cluster.ts';
import { trainStep } from './dalle-train-step.ts';
import { serve } from './in-turn.ts';

const WORKERS = 2;
const [what = 'alone', model = '{}', batch = '8', train = '{}', port] = process.argv.slice(2);

type Run = (step: number) => Promise<number>;

const join = (rank: number, at: number): Promise<Cluster> =>
  Cluster.join({
    rank,
    workers: WORKERS,
    address: { host: '127.0.0.1', port: at },
    secret: '',
    timeoutSeconds: 300,
    signal: new AbortController().signal,
    onListening: (chosen) => {
      const args = [what, model, batch, train, String(chosen)];
      fork(fileURLToPath(import.meta.url), args, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    },
  });

async function prepare(cluster: Cluster | undefined): Promise<Run> {
  const parts = cluster ? {} : { accumulateSteps: WORKERS };
  return trainStep(JSON.parse(model), Number(batch), { ...JSON.parse(train), ...parts }, cluster);
}

// The connections would keep it alive.
process.on('disconnect', () => process.exit());
if (port === undefined) await serve(async () => prepare(what === 'alone' ? undefined : await join(0, 0)));
else {
  const run = await prepare(await join(1, Number(port)));
  for (let step = 0; ; step++) await run(step);
}
