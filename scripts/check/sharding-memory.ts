// What each worker of a sharded training step holds, measured, next to what mm plan counts. Linux.
//
//   npx tsx scripts/check/sharding-memory.ts [--devices 2] [--layers 8] [--width 512] [--heads 8] [--grid 4]
//       [--text 16] [--sharding none,optimizer,gradients,parameters] [--steps 3]
//
// For each sharding, CPU devices of one process (with --workers N, as many processes on the loopback interface) make
// steps of a joint Transformer with recomputation, an example each. Printed for a device, or for the worker that takes
// most: the most that a step takes, without what the same takes with a narrow model; and the plan's figure.
//
// With --moments it prints the bytes of the moments alone, of one, two and four devices, and exits with 1 where one of N
// devices holds more than 1 / N of them and the filling of its slices.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { type Cluster, withCluster } from '../../src/cluster/cluster.ts';
import { SHARDINGS, type Sharding } from '../../src/config/fields.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import type { Tensor } from '../../src/engine/tfjs/tf.ts';
import { planDalle } from '../../src/train/plan/dalle.ts';
import { plan } from '../../src/train/plan/plan.ts';
import { RunEngine } from '../../src/train/run-engine.ts';
import { createLogger } from '../../src/util/logger.ts';
import { trainConfig } from '../bench/dalle-train-step.ts';
import { spread } from '../bench/in-turn.ts';
import { momentBytes } from './sharding-memory/moments.ts';
import { shardedStep } from './sharding-memory/step.ts';

const { values } = parseArgs({
  options: {
    devices: { type: 'string', default: '2' },
    workers: { type: 'string' },
    layers: { type: 'string', default: '8' },
    width: { type: 'string', default: '512' },
    heads: { type: 'string', default: '8' },
    grid: { type: 'string', default: '4' },
    text: { type: 'string', default: '16' },
    steps: { type: 'string', default: '3' },
    moments: { type: 'boolean', default: false },
    sharding: { type: 'string', default: SHARDINGS.join() },
    /** Of a worker: its rank and worker 0's port. */
    rank: { type: 'string' },
    port: { type: 'string', default: '0' },
  },
});
const count = Number(values.workers ?? values.devices);
const sizes = ['layers', 'width', 'heads', 'grid'] as const;
const model = {
  ...(Object.fromEntries(sizes.map((name) => [name, Number(values[name])])) as Record<
    (typeof sizes)[number],
    number
  >),
  textLength: Number(values.text),
  textVocabulary: 256,
  imageVocabulary: 64,
  attention: ['row', 'column'],
};
const configOf = (sharding: Sharding, batch = count) =>
  trainConfig(model, batch, { recompute: 'full', sharding });
const SCALE = 1e6;
/** Width of a head of the model whose memory is taken off: that of the graph, the program and the network. */
const NARROW = 8;

/** A line of /proc/self/status, in MB. */
const status = (what: string): number =>
  (Number(new RegExp(`${what}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024) /
  SCALE;
/** Without the pages of libraries, which come in as ops run for the first time. */
const resident = (): number => status('RssAnon');
const most = (): number => status('VmHWM') - status('RssFile');

/** What one worker measures, in MB. */
interface Measured {
  readonly peak: number;
  readonly loss: number;
  readonly seconds: number;
}

/** A worker, or, without a cluster, the process of all devices. */
async function work(sharding: Sharding, cluster?: Cluster): Promise<void> {
  const runtime = cluster
    ? await new RunEngine(cluster, createLogger('error')).start()
    : new Runtime({ devices: { kind: 'CPU', numbers: Array.from({ length: count }, (_, i) => i) } });
  const config = configOf(sharding);
  await runtime.compile('warm up', ({ x }: { x: Tensor }) => ({ x }))({
    x: { dtype: 'float32', shape: [1], data: Float32Array.of(1) },
  });
  const before = resident();
  const { step } = await shardedStep(runtime, config, cluster);
  let [peak, loss, seconds] = [0, 0, 0];
  for (let at = 0; at < Number(values.steps); at++) {
    writeFileSync('/proc/self/clear_refs', '5'); // VmHWM begins anew
    const start = performance.now();
    loss = await step(at);
    seconds = (performance.now() - start) / 1000;
    if (at > 0) peak = Math.max(peak, most() - before);
  }
  console.log(JSON.stringify({ peak, loss, seconds } satisfies Measured));
  await cluster?.anyTrue(false);
}

async function workInCluster(rank: number, sharding: Sharding): Promise<void> {
  const options = {
    rank,
    workers: count,
    address: { host: '127.0.0.1', port: Number(values.port) },
    secret: '',
    timeoutSeconds: 600,
    signal: new AbortController().signal,
    onListening: (port: number) => console.log(JSON.stringify({ port })),
  };
  await withCluster(options, (cluster) => work(sharding, cluster));
}

/** The measurements of all processes. @param over flags over those given */
async function measure(sharding: Sharding, over: readonly string[] = []): Promise<Measured[]> {
  let port = 0;
  const measured: Measured[] = [];
  const start = async (rank: number, onPort?: () => void): Promise<void> => {
    const own = ['--rank', String(rank), '--port', String(port), '--sharding', sharding, ...over];
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
  if (!values.workers) await start(0);
  else
    await new Promise<void>((resolve, reject) => {
      start(0, () => {
        const others = Array.from({ length: count - 1 }, (_, i) => start(i + 1));
        Promise.all(others).catch(reject);
      }).then(resolve, reject);
    });
  return measured;
}

function planned(sharding: Sharding) {
  const runtime = new Runtime(sharding === 'parameters' ? { imagined: count } : {});
  return plan(planDalle(runtime, configOf(sharding), 'full'), count, sharding).memory.total;
}

/** Elements that slices are filled up with, over all: an array is cut into equal slices. */
const MAX_FILLING = 0.01;

async function compareMoments(): Promise<void> {
  console.log(JSON.stringify(model));
  console.log('devices | bytes of the moments of each | of those of one device');
  const [whole = 0] = await momentBytes(configOf('none', 1), 1);
  for (const devices of [1, 2, 4]) {
    const bytes = await momentBytes(configOf('optimizer', devices), devices);
    const share = Math.max(...bytes) / whole;
    console.log(`${devices} | ${bytes.join(', ')} | ${share.toFixed(4)}`);
    if (share > (1 + MAX_FILLING) / devices) process.exitCode = 1;
  }
}

const shardings = values.sharding.split(',') as Sharding[];
if (values.moments) await compareMoments();
else if (values.rank !== undefined) {
  const [sharding] = shardings as [Sharding];
  await (values.workers ? workInCluster(Number(values.rank), sharding) : work(sharding));
} else {
  const processor = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
  console.log(`${processor}; ${JSON.stringify(model)}; ${values.workers ? 'workers' : 'devices'} ${count}`);
  console.log('sharding | most in a step MB, planned, ratio | loss | s');
  const each = values.workers ? 1 : count;
  for (const sharding of shardings) {
    const measured = await measure(sharding);
    const narrow = await measure(sharding, ['--width', String(NARROW * model.heads)]);
    const peaks = (of: readonly Measured[]) => of.map(({ peak }) => peak);
    const peak = (Math.max(...peaks(measured)) - Math.max(...peaks(narrow))) / each;
    const total = planned(sharding) / SCALE;
    const columns = [
      sharding,
      `${peak.toFixed(0)}, ${total.toFixed(0)}, ${(total / peak).toFixed(2)}`,
      measured[0]?.loss,
      spread(measured.map((m) => m.seconds)).median.toFixed(1),
    ];
    console.log(columns.join(' | '));
  }
}
process.exit();
