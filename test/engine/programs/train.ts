// Trains a small network of convolution, embeddings and attention for 30 steps from the seed of its parameter, and
// prints a digest of the losses and weights.

import { createHash } from 'node:crypto';
import { gather } from '../../../src/engine/ops/gather.ts';
import { foldIn, randomGumbel } from '../../../src/engine/ops/random.ts';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import {
  type Scalar,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tf,
} from '../../../src/engine/tfjs/tf.ts';
import { sparseCrossEntropy } from '../../../src/nn/functional/cross-entropy.ts';
import { gelu } from '../../../src/nn/functional/gelu.ts';
import { affineLayerNorm } from '../../../src/nn/functional/layer-norm.ts';
import { constant, normal } from '../../../src/nn/parameters.ts';
import { Weights } from '../../../src/nn/weights.ts';
import { Adam } from '../../../src/train/optim/adam.ts';
import { valueAndGradients } from '../../../src/train/optim/gradients.ts';
import { graphSeed, RandomStream } from '../../../src/util/random.ts';

const seed = Number(process.argv[2]);
const [BATCH, SIDE, WIDTH, VOCABULARY] = [8, 8, 32, 50];
const POSITIONS = 8 + SIDE ** 2;

const runtime = new Runtime();
const weights = new Weights(runtime, 'net', {
  kernel: normal([3, 3, 3, WIDTH], 0.2),
  table: normal([VOCABULARY, WIDTH], 0.5),
  qkv: normal([WIDTH, 3 * WIDTH], 0.2),
  gain: constant([WIDTH], 1),
});
const optimizer = new Adam(runtime, 'net', weights.entries, {
  learningRate: { peak: 1, end: 0, warmup: 0, hold: 0 },
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-8,
  weightDecay: 0.1,
  clipNorm: 1,
});

interface Batch {
  [name: string]: Tensor;
  pixels: Tensor;
  ids: Tensor;
  labels: Tensor;
  key: Tensor;
  step: Tensor;
}

const update = runtime.compile('update', ({ pixels, ids, labels, key, step }: Batch) => {
  const { values, gradients } = valueAndGradients(weights.entries, (parameter) => {
    const image = tf.relu(tf.conv2d(pixels as Tensor4D, parameter('kernel') as Tensor4D, 1, 'same'));
    const stream = tf.concat(
      [gather(parameter('table'), ids), tf.reshape(image, [BATCH, SIDE ** 2, WIDTH])],
      1,
    );
    const x = affineLayerNorm(stream, parameter('gain'), tf.zeros([WIDTH]), 1e-5);
    const [q, k, v] = tf
      .split(tf.matMul(tf.reshape(x, [-1, WIDTH]), parameter('qkv') as Tensor2D), 3, 1)
      .map((part) => tf.reshape(part, [BATCH, POSITIONS, WIDTH])) as [Tensor, Tensor, Tensor];
    const noise = randomGumbel(foldIn(key as Tensor1D, 'scores'), [BATCH, POSITIONS, POSITIONS]);
    const scores = tf.add(tf.matMul(q, k, false, true), noise);
    const y = gelu(tf.add(stream, tf.matMul(tf.softmax(scores), v)));
    const logits = tf.matMul(tf.reshape(y, [-1, WIDTH]), parameter('table'), false, true);
    return { loss: tf.mean(sparseCrossEntropy(logits as Tensor2D, labels as Tensor1D)) as Scalar };
  });
  optimizer.apply(gradients, step as Scalar, tf.scalar(0.01));
  return { loss: values.loss };
});

await weights.initialize(seed);
await optimizer.moments.initialize(seed);
const digest = createHash('sha256');
for (let step = 0; step < 30; step++) {
  const random = new RandomStream(seed, 'batch', step);
  const integers = (count: number): Int32Array =>
    Int32Array.from({ length: count }, () => random.integer(VOCABULARY));
  const { loss } = await update({
    pixels: {
      dtype: 'float32',
      shape: [BATCH, SIDE, SIDE, 3],
      data: Float32Array.from({ length: BATCH * SIDE ** 2 * 3 }, () => random.uniform()),
    },
    ids: { dtype: 'int32', shape: [BATCH, 8], data: integers(BATCH * 8) },
    labels: { dtype: 'int32', shape: [BATCH * POSITIONS], data: integers(BATCH * POSITIONS) },
    key: { dtype: 'int32', shape: [2], data: graphSeed(seed, 'step', step) },
    step: { dtype: 'float32', shape: [], data: Float32Array.of(step) },
  });
  digest.update(loss.data);
}
for (const { data } of (await weights.save()).values()) digest.update(data);
process.stdout.write(`${digest.digest('hex')}\n`);
await runtime.close();
