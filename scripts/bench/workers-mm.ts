// mm's sides of workers.ts: workers-mm.ts WORKERS MODEL BATCH TRAIN. Of two workers this one starts the other. Worker
// number r runs on core r, in one thread. The value of a step is its loss.

import { execFileSync, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Cluster } from '../../src/cluster/cluster.ts';
import { useThreads } from '../../src/engine/session/threads.ts';
import { trainStep } from './dalle-train-step.ts';
import { serve } from './in-turn.ts';

const [workers = '1', model = '{}', batch = '8', train = '{}', port] = process.argv.slice(2);

type Run = (step: number) => Promise<number>;

const join = (rank: number, at: number): Promise<Cluster> =>
  Cluster.join({
    rank,
    workers: Number(workers),
    address: { host: '127.0.0.1', port: at },
    secret: '',
    timeoutSeconds: 300,
    signal: new AbortController().signal,
    onListening: (chosen) => {
      const args = [workers, model, batch, train, String(chosen)];
      fork(fileURLToPath(import.meta.url), args, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    },
  });

/** Both workers begin and end each step together: none computes ahead while others are timed. */
async function prepare(cluster: Cluster | undefined): Promise<Run> {
  const step = await trainStep(JSON.parse(model), Number(batch), JSON.parse(train), cluster);
  return async (at) => {
    await cluster?.anyTrue(false);
    const loss = await step(at);
    await cluster?.anyTrue(false);
    return loss;
  };
}

const rank = port === undefined ? 0 : 1;
execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', String(rank), String(process.pid)]);
useThreads(1);
// The connections would keep it alive.
process.on('disconnect', () => process.exit());
if (rank === 0) await serve(async () => prepare(workers === '1' ? undefined : await join(0, 0)));
else {
  const run = await prepare(await join(1, Number(port)));
  for (let step = 0; ; step++) await run(step);
}
