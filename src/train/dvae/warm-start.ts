// The warm start of a codebook: encoder and decoder are trained as a plain autoencoder, then its features are
// clustered and the centres written into the 1×1 convolutions around the codes (models/dvae/warm-start.ts).

import type { DvaeConfig, OpenaiDvaeConfig } from '../../config/dvae.ts';
import type { ImageBatch, ImageBatches } from '../../data/batches.ts';
import { floatScalar, type HostTensor } from '../../engine/native/tensor.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import {
  type Scalar,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tf,
} from '../../engine/tfjs/tf.ts';
import { kMeans } from '../../models/dvae/k-means.ts';
import type { DvaeSpec } from '../../models/dvae/model.ts';
import {
  autoencoderLoss,
  bottleneckFeatures,
  bottleneckSpec,
  codebookConvolutions,
} from '../../models/dvae/warm-start.ts';
import { unflatten } from '../../nn/parameters.ts';
import { Weights } from '../../nn/weights.ts';
import { InterruptedError } from '../../util/errors.ts';
import { RandomStream } from '../../util/random.ts';
import { type ModelState, startEma } from '../loop/resume.ts';
import type { RunContext } from '../loop/run-context.ts';
import { numbers, stepKey } from '../loop/scalars.ts';
import { Adam } from '../optim/adam.ts';
import { valueAndGradients } from '../optim/gradients.ts';
import { lossScaleFor } from '../optim/loss-scale.ts';
import { learningRateAt } from '../optim/schedules.ts';

const WARMUP = 100;

/** Sets the codebook of freshly drawn weights. Not resumable: an interrupted warm start begins anew. */
export async function warmStart(
  runtime: Runtime,
  config: DvaeConfig & { readonly model: OpenaiDvaeConfig },
  state: ModelState<DvaeSpec>,
  batches: ImageBatches,
  { path, log, progress, signal }: RunContext,
): Promise<void> {
  const settings = config.train.warmStart!;
  const { weights } = state;
  const bottleneck = new Weights(runtime, 'warm-start', bottleneckSpec(config.model, settings.width));
  await bottleneck.initialize(config.seed);
  const entries = new Map([
    ...[...weights.entries].filter(([name]) => !/^(encoder\.output|decoder\.input)\./.test(name)),
    ...[...bottleneck.entries].map(([name, entry]) => [`bottleneck.${name}`, entry] as const),
  ]);
  const rate = { peak: settings.learningRate, end: settings.learningRate / 10, warmup: WARMUP };
  const optimizer = new Adam(runtime, 'warm-start', entries, { ...config.train.optimizer, weightDecay: 0 });
  await optimizer.moments.initialize(config.seed);
  const lossScale = lossScaleFor(runtime, 'warm-start', config.train);
  await lossScale?.state.initialize(config.seed);

  const step = runtime.compile(
    'warm start step',
    ({
      pixels,
      key,
      step,
      learningRate,
    }: {
      pixels: Tensor;
      key: Tensor;
      step: Tensor;
      learningRate: Tensor;
    }) => {
      const loss = (read: (name: string) => Tensor) => {
        // The convolutions around the codes take no part; they keep the names their places need.
        const p = unflatten(weights.spec, (name) => read(name) ?? weights.entries.get(name)!.variable.read());
        const b = unflatten(bottleneck.spec, (name) => read(`bottleneck.${name}`));
        const x = tf.div(pixels, 255) as Tensor4D;
        return {
          loss: autoencoderLoss({ ...p, bottleneck: b }, x, config.model, key as Tensor1D, settings.noise),
        };
      };
      const { values, gradients } = valueAndGradients(entries, loss, lossScale?.value);
      const scaled = lossScale?.update(gradients, step as Scalar);
      const unscaling = scaled && (() => scaled.unscaling);
      optimizer.apply(gradients, step as Scalar, learningRate as Scalar, unscaling);
      return values;
    },
    { precision: config.train.precision },
  );
  const features = runtime.compile('warm start features', ({ pixels }: { pixels: Tensor }) => {
    const x = tf.div(pixels, 255) as Tensor4D;
    return { features: bottleneckFeatures(weights.read().encoder, bottleneck.read(), x, config.model) };
  });

  const iterator = batches[Symbol.asyncIterator]();
  progress.start('train-dvae: warm start', settings.steps);
  for (let i = 0; i < settings.steps; i++) {
    if (signal.aborted)
      throw new InterruptedError('stopped in the warm start, nothing to save yet', {
        where: path,
        fix: 'start again with --resume',
      });
    const results = await step({
      pixels: images((await iterator.next()).value as ImageBatch, config),
      key: stepKey(config.seed + 1, i),
      step: floatScalar(i),
      learningRate: floatScalar(learningRateAt(i, rate, settings.steps)),
    });
    progress.update(i + 1, { loss: numbers(results).loss.toFixed(4) });
  }
  progress.stop();

  const points: Float32Array[] = [];
  for (let seen = 0; seen < settings.images; ) {
    const batch = (await iterator.next()).value as ImageBatch;
    points.push((await features({ pixels: images(batch, config) })).features.data as Float32Array);
    seen += batch.keys.length;
  }
  await iterator.return?.();
  const clusters = kMeans(
    concat(points),
    settings.width,
    config.model.vocabulary,
    new RandomStream(config.seed, 'k-means'),
  );
  log.info(
    `warm start: ${config.model.vocabulary} centres, mean squared distance ${clusters.error.toPrecision(3)}`,
  );

  const write = runtime.compile(
    'set the codebook',
    ({ centres, temperature }: { centres: Tensor; temperature: Tensor }) => {
      const { encoderOutput, decoderInput } = codebookConvolutions(
        bottleneck.read(),
        centres as Tensor2D,
        temperature as Scalar,
      );
      for (const [place, values] of [
        ['encoder.output', encoderOutput],
        ['decoder.input', decoderInput],
      ] as const) {
        for (const name of ['weight', 'bias'] as const)
          weights.entries.get(`${place}.${name}`)!.variable.assign(values[name]);
      }
      return {};
    },
  );
  const centres: HostTensor = {
    dtype: 'float32',
    shape: [config.model.vocabulary, settings.width],
    data: clusters.centres,
  };
  await write({ centres, temperature: floatScalar(Math.max(clusters.error, 1e-6) / settings.sharpness) });
  await startEma(runtime, state);
}

function images(batch: ImageBatch, config: DvaeConfig): HostTensor {
  const { imageSize } = config.model;
  return { dtype: 'uint8', shape: [batch.keys.length, imageSize, imageSize, 3], data: batch.pixels };
}

function concat(arrays: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let at = 0;
  for (const array of arrays) {
    whole.set(array, at);
    at += array.length;
  }
  return whole;
}
