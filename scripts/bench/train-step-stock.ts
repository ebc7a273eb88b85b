// The stock side of the train-step bench: eager tfjs on tfjs-node's native addon, written as a tfjs user writes it.
// train-step-stock.ts ADDON

import { createRequire } from 'node:module';
import { type Scalar, type Tensor, type Tensor1D, tf } from '../../src/engine/tfjs/tf.ts';
import { unflatten } from '../../src/nn/parameters.ts';
import { serve } from './in-turn.ts';
import { ADAM, batch, causalMask, initialWeights, loss, type Ops, TRANSFORMER } from './transformer.ts';

const OPS: Ops = {
  gather: (table, ids) => tf.gather(table, ids as Tensor1D),
  crossEntropy: (logits, labels) =>
    tf.oneHot(labels, logits.shape[1]).mul(tf.logSoftmax(logits)).sum(-1).neg() as Tensor1D,
  layerNorm(x, gain, bias) {
    const { mean, variance } = tf.moments(x, -1, true);
    return x.sub(mean).mul(variance.add(1e-5).rsqrt()).mul(gain).add(bias);
  },
  gelu: (x) => x.mul(0.5).mul(tf.erf(x.mul(Math.SQRT1_2)).add(1)),
};

/** What tfjs-node's own index.js does with its addon. */
function registerStockBackend(addon: string): void {
  const require = createRequire(import.meta.url);
  // Node 23 removed it, and tfjs-node 4.22 calls it (tensorflow/tfjs#8609).
  require('node:util').isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  require('@tensorflow/tfjs-node-gpu/dist/register_all_kernels');
  const { NodeJSKernelBackend } = require('@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend');
  const backend = new NodeJSKernelBackend(require(addon), '@tensorflow/tfjs-node');
  tf.registerBackend('tensorflow', () => backend, 3);
  void tf.setBackend('tensorflow');
}

await serve(async () => {
  registerStockBackend(process.argv[2] as string);
  const { learningRate, beta1, beta2, epsilon } = ADAM;
  const optimizer = tf.train.adam(learningRate, beta1, beta2, epsilon);
  const initial = initialWeights();
  const parameters = unflatten(TRANSFORMER, (name): Tensor => {
    const { data, shape } = initial.get(name)!;
    return tf.variable(tf.tensor(data as Float32Array, [...shape]), true, name);
  });
  const mask = causalMask();
  return async (step) => {
    const { text, image } = batch(step);
    const cost = tf.tidy(() => {
      const ids = [text, image].map(({ data, shape }) => tf.tensor2d(data, shape, 'int32'));
      const [textIds, imageIds] = ids as [Tensor, Tensor];
      return optimizer.minimize(() => loss(OPS, parameters, textIds, imageIds, mask), true) as Scalar;
    });
    const [value] = await cost.data();
    cost.dispose();
    return value as number;
  };
});
