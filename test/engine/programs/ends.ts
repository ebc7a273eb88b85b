// Ends in the way of its parameter, mostly while a run is in flight.

import { setTimeout as sleep } from 'node:timers/promises';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { type Tensor, tf } from '../../../src/engine/tfjs/tf.ts';

const runtime = new Runtime();
const SIDE = 800;
const x = {
  dtype: 'float32',
  shape: [SIDE, SIDE],
  data: new Float32Array(SIDE ** 2).fill(1 / SIDE),
} as const;
const multiply = (times: number) =>
  runtime.compile(`multiply ${times}`, ({ x }: { x: Tensor }) => {
    let y = x;
    for (let i = 0; i < times; i++) y = tf.matMul(x, y);
    return { sum: tf.sum(y) };
  });

async function startLongRun(times = 1500): Promise<{ readonly run: Promise<unknown> }> {
  const run = multiply(times)({ x });
  await sleep(100);
  process.stdout.write('running\n');
  return { run };
}

const ways: Record<string, () => unknown> = {
  async closed() {
    await runtime.close();
    process.stdout.write(`${'x'.repeat(1 << 20)}\n`);
  },
  forgotten() {
    process.stdout.write(`${'x'.repeat(1 << 20)}\n`);
  },
  async 'with a listener'() {
    await runtime.close();
    process.exitCode = 3;
    process.on('exit', () => process.stdout.write('listened\n'));
  },
  async 'exit in a run'() {
    await startLongRun();
    process.exit(7);
  },
  async 'error in a run'() {
    await startLongRun(60);
    setImmediate(() => {
      throw new Error('thrown in a callback');
    });
  },
  async 'rejection in a run'() {
    await startLongRun(60);
    void Promise.reject(new Error('nobody catches this'));
  },
  async 'interrupt in a run'() {
    await startLongRun();
  },
  async 'interrupt, caught'() {
    process.once('SIGINT', () => {
      process.exitCode = 130;
      void runtime.close().then(() => process.stdout.write('closed\n'));
    });
    const { run } = await startLongRun(60);
    await run;
    process.stdout.write('run ended\n');
  },
};

const { sum } = await multiply(1)({ x });
if (Math.abs(Number(sum.data[0]) - SIDE) > 1) throw new Error(`wrong sum ${sum.data[0]}`);
await ways[process.argv[2] as string]!();
