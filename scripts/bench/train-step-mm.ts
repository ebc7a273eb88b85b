// mm's side of the train-step bench: the same model compiled by the engine, with its ops and mm's optimizer.

import { optimizer } from '../../src/config/fields.ts';
import { gather } from '../../src/engine/ops/gather.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Scalar, type Tensor, tf } from '../../src/engine/tfjs/tf.ts';
import { sparseCrossEntropy } from '../../src/nn/functional/cross-entropy.ts';
import { gelu } from '../../src/nn/functional/gelu.ts';
import { affineLayerNorm } from '../../src/nn/functional/layer-norm.ts';
import { unflatten } from '../../src/nn/parameters.ts';
import { Weights } from '../../src/nn/weights.ts';
import { Adam } from '../../src/train/optim/adam.ts';
import { valueAndGradients } from '../../src/train/optim/gradients.ts';
import { serve } from './in-turn.ts';
import { ADAM, batch, causalMask, initialWeights, loss, type Ops, TRANSFORMER } from './transformer.ts';

const OPS: Ops = {
  gather,
  crossEntropy: sparseCrossEntropy,
  layerNorm: (x, gain, bias) => affineLayerNorm(x, gain, bias, 1e-5),
  gelu,
};

await serve(async () => {
  const runtime = new Runtime();
  const weights = new Weights(runtime, 'transformer', TRANSFORMER);
  const { learningRate, ...rest } = ADAM;
  const config = optimizer.parse({ ...rest, learningRate: { peak: learningRate } });
  const adam = new Adam(runtime, 'transformer', weights.entries, config);
  await weights.load(initialWeights());
  await adam.moments.initialize(0);

  const train = runtime.compile('train', (inputs: Record<'text' | 'image' | 'step', Tensor>) => {
    const mask = causalMask();
    const { values, gradients } = valueAndGradients(weights.entries, (parameter) => ({
      loss: loss(OPS, unflatten(TRANSFORMER, parameter), inputs.text, inputs.image, mask),
    }));
    adam.apply(gradients, inputs.step as Scalar, tf.scalar(learningRate));
    return values;
  });

  return async (step) => {
    const { text, image } = batch(step);
    const { loss } = await train({
      text: { dtype: 'int32', ...text },
      image: { dtype: 'int32', ...image },
      step: { dtype: 'float32', shape: [], data: Float32Array.of(step) },
    });
    return loss.data[0] as number;
  };
});
