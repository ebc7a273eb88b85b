// The warm start of a codebook: encoder and decoder are trained as a plain autoencoder, then its features are clustered
// and the centres written into the 1×1 convolutions around the codes (models/dvae/warm-start.ts).
//   B batch, H height and W width in pixels, V centres, F channels of the bottleneck

import type { DvaeConfig, OpenaiDvaeConfig } from '../../config/dvae.ts';
import type { ImageBatch, ImageBatches } from '../../data/batches.ts';
import { atOneOrigin } from '../../engine/graph/origin.ts';
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
import type { JobContext } from '../../util/job.ts';
import { RandomStream } from '../../util/random.ts';
import { numbers, stepKey } from '../loop/scalars.ts';
import { type ModelState, startEma } from '../loop/state.ts';
import { Adam } from '../optim/adam.ts';
import { valueAndGradients } from '../optim/gradients.ts';
import { lossScaleFor } from '../optim/loss-scale.ts';
import { learningRateAt } from '../optim/schedules.ts';

/** Steps of linear warm-up of the learning rate. */
const WARMUP = 100;

export interface WarmStartOptions extends JobContext {
  readonly model: OpenaiDvaeConfig;
  readonly train: DvaeConfig['train'];
  readonly settings: NonNullable<DvaeConfig['train']['warmStart']>;
  readonly seed: number;
  /** Images to train and cluster with, in another order than those of the run. */
  readonly batches: ImageBatches;
  /** The run folder, for messages. */
  readonly path: string;
}

/**
 * Sets the codebook of newly initialized weights. Not resumable: an interrupted warm start starts again.
 * @throws InterruptedError when the signal is aborted
 */
export async function warmStart(
  runtime: Runtime,
  state: ModelState<DvaeSpec>,
  options: WarmStartOptions,
): Promise<void> {
  const { model, settings, seed, log } = options;
  const bottleneck = new Weights(runtime, 'warm-start', bottleneckSpec(model, settings.width));
  await bottleneck.initialize(seed);
  const autoencoder = { weights: state.weights, bottleneck };
  const images = options.batches[Symbol.asyncIterator]();
  await trainAutoencoder(runtime, autoencoder, images, options);
  const features = await collectFeatures(runtime, autoencoder, images, options);
  await images.return?.();
  const clusters = kMeans(features, settings.width, model.vocabulary, new RandomStream(seed, 'k-means'));
  log.info(`warm start: ${model.vocabulary} centres, mean squared distance ${clusters.error.toPrecision(3)}`);
  await writeCodebook(runtime, autoencoder, clusters, options);
  await startEma(runtime, state);
}

interface Autoencoder {
  readonly weights: Weights<DvaeSpec>;
  readonly bottleneck: Weights<ReturnType<typeof bottleneckSpec>>;
}

async function trainAutoencoder(
  runtime: Runtime,
  { weights, bottleneck }: Autoencoder,
  images: AsyncIterator<ImageBatch>,
  { model, train, settings, seed, path, progress, signal }: WarmStartOptions,
): Promise<void> {
  const entries = new Map([
    ...[...weights.entries].filter(([name]) => !/^(encoder\.output|decoder\.input)\./.test(name)),
    ...[...bottleneck.entries].map(([name, entry]) => [`bottleneck.${name}`, entry] as const),
  ]);
  const rate = { peak: settings.learningRate, end: settings.learningRate / 10, warmup: WARMUP };
  const optimizer = new Adam(runtime, 'warm-start', entries, { ...train.optimizer, weightDecay: 0 });
  await optimizer.moments.initialize(seed);
  const lossScale = lossScaleFor(runtime, 'warm-start', train);
  await lossScale?.state.initialize(seed);
  const update = runtime.compile(
    'warm start step',
    ({ pixels, key, step, learningRate }: Record<'pixels' | 'key' | 'step' | 'learningRate', Tensor>) => {
      const loss = (read: (name: string) => Tensor) => {
        // The convolutions around the codes are not used; they are read for the shape of the tree.
        const p = unflatten(weights.spec, (name) => read(name) ?? weights.entries.get(name)!.variable.read());
        const b = unflatten(bottleneck.spec, (name) => read(`bottleneck.${name}`));
        const x = tf.div(pixels, 255) as Tensor4D;
        return {
          loss: autoencoderLoss({ ...p, bottleneck: b }, x, model, key as Tensor1D, settings.noise),
        };
      };
      const { values, gradients } = valueAndGradients(entries, loss, lossScale?.value);
      const scaled = lossScale?.update(gradients, step as Scalar);
      const unscaling = scaled && (() => scaled.unscaling);
      atOneOrigin(() => optimizer.apply(gradients, step as Scalar, learningRate as Scalar, unscaling));
      return values;
    },
    { precision: train.precision },
  );
  progress.start('train-dvae: warm start', settings.steps);
  for (let step = 0; step < settings.steps; step++) {
    if (signal.aborted) {
      throw new InterruptedError('stopped in the warm start, nothing to save yet', {
        code: 'E_INTERRUPTED',
        where: path,
        fix: 'start again with `resume`',
      });
    }
    const results = await update({
      pixels: await nextPixels(images, model),
      key: stepKey(seed + 1, step),
      step: floatScalar(step),
      learningRate: floatScalar(learningRateAt(step, rate, settings.steps)),
    });
    progress.update(step + 1, { loss: numbers(results).loss.toFixed(4) });
  }
  progress.stop();
}

/** Features of at least `settings.images` images, F numbers each. */
async function collectFeatures(
  runtime: Runtime,
  { weights, bottleneck }: Autoencoder,
  images: AsyncIterator<ImageBatch>,
  { model, settings }: WarmStartOptions,
): Promise<Float32Array> {
  const encode = runtime.compile('warm start features', ({ pixels }: { pixels: Tensor }) => {
    const x = tf.div(pixels, 255) as Tensor4D;
    return { features: bottleneckFeatures(weights.read().encoder, bottleneck.read(), x, model) };
  });
  const parts: Float32Array[] = [];
  for (let count = 0; count < settings.images; ) {
    const pixels = await nextPixels(images, model);
    parts.push((await encode({ pixels })).features.data as Float32Array);
    count += pixels.shape[0] as number;
  }
  return concat(parts);
}

/** Writes the centres, V × F, into the convolutions around the codes. */
async function writeCodebook(
  runtime: Runtime,
  { weights, bottleneck }: Autoencoder,
  clusters: { readonly centres: Float32Array; readonly error: number },
  { model, settings }: WarmStartOptions,
): Promise<void> {
  const write = runtime.compile(
    'set the codebook',
    ({ centres, temperature }: Record<'centres' | 'temperature', Tensor>) => {
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
  const shape = [model.vocabulary, settings.width];
  const centres: HostTensor = { dtype: 'float32', shape, data: clusters.centres };
  await write({ centres, temperature: floatScalar(Math.max(clusters.error, 1e-6) / settings.sharpness) });
}

/** The next batch's pixels, [B, H, W, 3]. */
async function nextPixels(
  images: AsyncIterator<ImageBatch>,
  { imageSize }: OpenaiDvaeConfig,
): Promise<HostTensor> {
  const { keys, pixels } = (await images.next()).value as ImageBatch;
  return { dtype: 'uint8', shape: [keys.length, imageSize, imageSize, 3], data: pixels };
}

function concat(arrays: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let position = 0;
  for (const array of arrays) {
    whole.set(array, position);
    position += array.length;
  }
  return whole;
}
