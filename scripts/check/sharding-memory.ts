// What each worker of a sharded training step holds, measured, next to what mm plan counts. Linux.
//
//   npx tsx scripts/check/sharding-memory.ts [--workers 2] [--layers 8] [--width 512] [--heads 8] [--grid 4]
//       [--text 16] [--sharding none,optimizer,gradients,parameters] [--steps 3]
//
// For each sharding the workers, a process each on the loopback interface, make steps of a joint Transformer with
// recomputation, an example each. Printed for the worker that takes most: what weights and moments hold before the first
// step, and the most that a step takes, over what the process had before the model; and the plan's figures.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { withCluster } from '../../src/cluster/cluster.ts';
import { SHARDINGS, type Sharding } from '../../src/config/fields.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import type { Tensor } from '../../src/engine/tfjs/tf.ts';
import { imageLength } from '../../src/models/dalle/config.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DalleStep } from '../../src/train/dalle/step.ts';
import { ReplicatedState } from '../../src/train/distributed/replicas.ts';
import { restoreSlices } from '../../src/train/distributed/sliced-state.ts';
import { slicedWeightsFor } from '../../src/train/distributed/sliced-weights.ts';
import { stepKey } from '../../src/train/loop/scalars.ts';
import { initialize } from '../../src/train/loop/state.ts';
import { Adam } from '../../src/train/optim/adam.ts';
import { planDalle } from '../../src/train/plan/dalle.ts';
import { plan } from '../../src/train/plan/plan.ts';
import { RunEngine } from '../../src/train/run-engine.ts';
import { createLogger } from '../../src/util/logger.ts';
import { RandomStream } from '../../src/util/random.ts';
import { trainConfig } from '../bench/dalle-train-step.ts';
import { megabytes, spread } from '../bench/in-turn.ts';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' },
    layers: { type: 'string', default: '8' },
    width: { type: 'string', default: '512' },
    heads: { type: 'string', default: '8' },
    grid: { type: 'string', default: '4' },
    text: { type: 'string', default: '16' },
    steps: { type: 'string', default: '3' },
    sharding: { type: 'string', default: SHARDINGS.join() },
    /** Of a worker: its rank and worker 0's port. */
    rank: { type: 'string' },
    port: { type: 'string', default: '0' },
  },
});
const workers = Number(values.workers);
const sizes = ['layers', 'width', 'heads', 'grid'] as const;
const model = {
  ...Object.fromEntries(sizes.map((name) => [name, Number(values[name])])),
  textLength: Number(values.text),
  textVocabulary: 256,
  imageVocabulary: 64,
  attention: ['row', 'column'],
};
const configOf = (sharding: Sharding) => trainConfig(model, workers, { recompute: true, sharding });
const SCALE = 1e6;

const resident = (): number => megabytes(process.pid, 'VmRSS') as number;

/** What one worker measures, in MB. */
interface Measured {
  readonly held: number;
  readonly peak: number;
  readonly loss: number;
  readonly seconds: number;
}

async function work(rank: number, sharding: Sharding): Promise<void> {
  const options = {
    rank,
    workers,
    address: { host: '127.0.0.1', port: Number(values.port) },
    secret: '',
    timeoutSeconds: 120,
    signal: new AbortController().signal,
    onListening: (port: number) => console.log(JSON.stringify({ port })),
  };
  await withCluster(options, async (cluster) => {
    const runtime = await new RunEngine(cluster, createLogger('error')).start();
    const config = configOf(sharding);
    await runtime.compile('warm up', ({ x }: { x: Tensor }) => ({ x }))({
      x: { dtype: 'float32', shape: [1], data: Float32Array.of(1) },
    });
    const before = resident();
    const weights = new Weights(runtime, 'dalle', dalleSpec(config.model));
    const slicedWeights = slicedWeightsFor(runtime, 'dalle', weights, sharding);
    const trained = (slicedWeights ?? weights).entries;
    const optimizer = new Adam(runtime, 'dalle', trained, config.train.optimizer, sharding);
    const state = { weights, slicedWeights, trained, optimizer, ema: undefined, lossScale: undefined };
    const step = new DalleStep(runtime, config, state, cluster);
    if (cluster.isPrimary) await initialize(runtime, state, 0);
    await new ReplicatedState(runtime, state).copy();
    await restoreSlices(runtime, state, { isResumed: false, checkpoint: undefined });
    const held = resident() - before;
    const ids = (length: number, vocabulary: number, at: number): Int32Array => {
      const random = new RandomStream('memory', at);
      return Int32Array.from({ length: workers * length }, () => random.integer(vocabulary));
    };
    let [peak, loss, seconds] = [0, 0, 0];
    for (let at = 0; at < Number(values.steps); at++) {
      writeFileSync('/proc/self/clear_refs', '5'); // VmHWM begins anew
      const start = performance.now();
      const text = ids(config.model.textLength, config.model.textVocabulary, at);
      const image = ids(imageLength(config.model), config.model.imageVocabulary, at);
      ({ loss = 0 } = await step.run({ count: workers, text, image }, at, 3e-4, stepKey(0, at)));
      seconds = (performance.now() - start) / 1000;
      peak = Math.max(peak, (megabytes(process.pid, 'VmHWM') as number) - before);
    }
    console.log(JSON.stringify({ held, peak, loss, seconds } satisfies Measured));
    await cluster.anyTrue(false);
  });
  process.exit(0);
}

/** The measurements of all workers. */
async function measure(sharding: Sharding): Promise<Measured[]> {
  let port = 0;
  const measured: Measured[] = [];
  const start = async (rank: number, onPort?: () => void): Promise<void> => {
    const own = ['--rank', String(rank), '--port', String(port), '--sharding', sharding];
    const child = spawn(
      process.execPath,
      [...process.execArgv, import.meta.filename, ...process.argv.slice(2), ...own],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        // Freed memory goes back to the system, so that it is not counted.
        env: { ...process.env, MALLOC_MMAP_THRESHOLD_: '65536', MALLOC_ARENA_MAX: '2' },
      },
    );
    const ended = once(child, 'exit');
    for await (const line of createInterface(child.stdout)) {
      const said = JSON.parse(line);
      if ('port' in said) {
        port = said.port;
        onPort?.();
      } else measured.push(said);
    }
    const [code] = await ended;
    if (code !== 0) throw new Error(`worker ${rank} ended with code ${code}`);
  };
  await new Promise<void>((resolve, reject) => {
    start(0, () => {
      const others = Array.from({ length: workers - 1 }, (_, i) => start(i + 1));
      Promise.all(others).catch(reject);
    }).then(resolve, reject);
  });
  return measured;
}

function planned(sharding: Sharding) {
  const runtime = new Runtime(sharding === 'parameters' ? { imagined: workers } : {});
  return plan(planDalle(runtime, configOf(sharding), true), workers, sharding).memory;
}

const shardings = values.sharding.split(',') as Sharding[];
if (values.rank !== undefined) await work(Number(values.rank), shardings.at(-1) as Sharding);
else {
  console.log(
    `${readFileSync('/proc/cpuinfo', 'utf8').match(/model name\s*: (.*)/)?.[1]}, ${JSON.stringify(model)}`,
  );
  console.log('sharding | held MB, planned | most in a step MB, planned, ratio | loss | s');
  for (const sharding of shardings) {
    const measured = await measure(sharding);
    const most = (of: (m: Measured) => number): number => Math.max(...measured.map(of));
    const memory = planned(sharding);
    const held = (memory.weights + memory.moments) / SCALE;
    const peak = most((m) => m.peak);
    const total = memory.total / SCALE;
    console.log(
      `${sharding} | ${most((m) => m.held).toFixed(0)}, ${held.toFixed(0)} | ${peak.toFixed(0)}, ${total.toFixed(0)}, ${(total / peak).toFixed(2)} | ${measured[0]?.loss} | ${spread(measured.map((m) => m.seconds)).median.toFixed(1)}`,
    );
  }
  process.exit(0);
}
