// mm's sides of workers.ts: workers-mm.ts WHAT MODEL BATCH TRAIN. WHAT is `alone`, a step of one process; `step`, one
// of two workers, of which this one starts the other; or `exchange`, the same without the gradients. The value of a
// step is its loss, that of an exchange the megabytes that a worker has sent.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Cluster } from '../../src/cluster/cluster.ts';
import { dalleSchema } from '../../src/config/dalle.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { Weights } from '../../src/nn/weights.ts';
import { AllReduce } from '../../src/train/distributed/all-reduce.ts';
import { PowerSgd } from '../../src/train/distributed/power-sgd.ts';
import { GradientAccumulator } from '../../src/train/optim/accumulate.ts';
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

async function exchangeOnly(cluster: Cluster): Promise<Run> {
  const { rank } = dalleSchema.shape.train.shape.compression.parse(JSON.parse(train).compression) ?? {};
  const runtime = new Runtime();
  const weights = new Weights(runtime, 'dalle', dalleSpec(dalleSchema.shape.model.parse(JSON.parse(model))));
  const { entries } = weights;
  await weights.initialize(cluster.rank);
  const sums = new GradientAccumulator(runtime, 'dalle', entries);
  const compression = rank ? new PowerSgd(runtime, 'dalle', entries, rank) : undefined;
  await compression?.factors.initialize(0);
  await compression?.residuals.load(compression.residuals.zeros());
  const set = runtime.compile('gradients', () => {
    sums.clear();
    sums.add(new Map([...entries].map(([name, { variable }]) => [name, variable.read()])));
    return {};
  });
  const exchange = new AllReduce(runtime, 'bench', { cluster, sums, compression });
  return async () => {
    await set({});
    const before = cluster.bytesSent;
    await exchange.run();
    return (cluster.bytesSent - before) / 1e6;
  };
}

async function prepare(cluster: Cluster | undefined): Promise<Run> {
  if (cluster && what === 'exchange') return exchangeOnly(cluster);
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
