// Repeats the step of its parameter, and prints the growth of the process's memory in bytes after a warm-up.

import { setTimeout as sleep } from 'node:timers/promises';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { useTensorFlow } from '../../../src/engine/tfjs/backend.ts';
import { type Tensor, type Tensor2D, tf } from '../../../src/engine/tfjs/tf.ts';
import { constant, normal } from '../../../src/nn/parameters.ts';
import { Weights } from '../../../src/nn/weights.ts';
import { Adam } from '../../../src/train/optim/adam.ts';
import { valueAndGradients } from '../../../src/train/optim/gradients.ts';
import { ADAM } from '../../support/adam-config.ts';

type Repeated = () => Promise<void> | void;

const HEIGHT = 1024;
const WIDTH = 256;
const batch = {
  dtype: 'float32',
  shape: [HEIGHT, WIDTH],
  data: new Float32Array(HEIGHT * WIDTH).fill(0.1),
} as const; // 1 MiB

/** A train step with 1 MiB of input and 1 MiB of output. */
async function trainStep(): Promise<Repeated> {
  const runtime = new Runtime();
  const weights = new Weights(runtime, 'net', { w: normal([WIDTH, 32], 0.05), b: constant([32], 0) });
  const optimizer = new Adam(runtime, 'net', weights.entries, {
    ...ADAM,
    weightDecay: 0.1,
    clipNorm: 1,
  });
  const update = runtime.compile('update', ({ x }: { x: Tensor }) => {
    const { values, gradients } = valueAndGradients(weights.entries, (parameter) => {
      const y = tf.relu(tf.add(tf.matMul(x as Tensor2D, parameter('w') as Tensor2D), parameter('b')));
      return { loss: tf.mean(tf.square(tf.sub(y, 1))), echo: tf.add(x, 1) };
    });
    optimizer.apply(gradients, tf.scalar(0), tf.scalar(0.001));
    return values;
  });
  await weights.initialize(1);
  await optimizer.moments.initialize(1);
  return async () => void (await update({ x: batch }));
}

/** A step that fails at run time. */
async function failingStep(): Promise<Repeated> {
  const runtime = new Runtime();
  const gather = runtime.compile('gather', ({ x, ids }: { x: Tensor; ids: Tensor }) => ({
    y: tf.gather(x, ids),
  }));
  const ids = { dtype: 'int32', shape: [1], data: Int32Array.of(-1) } as const;
  return async () => {
    const failed = await gather({ x: batch, ids }).then(
      () => false,
      () => true,
    );
    if (!failed) throw new Error('the step did not fail');
  };
}

/** Eager ops under tidy, values read back. */
function eagerStep(): Repeated {
  return () => {
    tf.tidy(() =>
      tf
        .softmax(tf.tensor2d(batch.data, [HEIGHT, WIDTH]).add(1))
        .sum()
        .dataSync(),
    );
  };
}

/** A new runtime each time, closed at the end. */
function runtimeStep(): Repeated {
  return async () => {
    const runtime = new Runtime();
    const variable = runtime.variable('kept', [HEIGHT, WIDTH]);
    const assign = runtime.compile('assign', ({ x }: { x: Tensor }) => {
      variable.assign(tf.add(x, tf.ones([HEIGHT, WIDTH])));
      return {};
    });
    await assign({ x: batch });
    await runtime.close();
  };
}

const repeated = { trainStep, failingStep, eagerStep, runtimeStep };
const [what, warmUp, times] = process.argv.slice(2) as [keyof typeof repeated, string, string];

const { eager } = useTensorFlow().binding;
const repeat = await repeated[what]();

/**
 * Memory in use outside of the JavaScript heap. Freed arrays return to the system some time after their collection:
 * measures until it is at most `enough`, but at most `looks` times.
 */
async function memory(enough: number, looks: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < looks && least > enough; i++) {
    globalThis.gc!();
    await sleep(20);
    const { rss, heapTotal } = process.memoryUsage();
    least = Math.min(least, rss - heapTotal);
  }
  return least;
}

for (let i = 0; i < Number(warmUp); i++) await repeat();
const [before, tensorsBefore] = [await memory(0, 10), eager.getNumOfTensors()];
for (let i = 0; i < Number(times); i++) await repeat();
const growth = {
  bytes: (await memory(before + (1 << 20), 200)) - before,
  tensors: eager.getNumOfTensors() - tensorsBefore,
};
process.stdout.write(JSON.stringify(growth));
