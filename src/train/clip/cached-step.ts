// CLIP's update by gradient caching (arXiv 2101.06983): the update of the whole batch, with one chunk of it in memory.
// First the features of all chunks are computed, then the loss's gradient with respect to the features, one chunk's
// rows of the similarity matrix at a time, then each chunk again with its features' gradient as the incoming gradient.
// Batch norm uses the statistics of a chunk.
//   B batch, C chunk, E embedding

import { floatScalar, intScalar } from '../../engine/native/tensor.ts';
import { gather } from '../../engine/ops/gather.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import { similarities } from '../../models/clip/loss.ts';
import { BatchStatistics } from '../../nn/batch-norm.ts';
import { sparseCrossEntropy } from '../../nn/functional/cross-entropy.ts';
import { numbers } from '../loop/scalars.ts';
import { GradientAccumulator, setToZero } from '../optim/accumulate.ts';
import { valueAndGradients } from '../optim/gradients.ts';
import { type ClipInputs, encodePairs, LOGIT_SCALE } from './gradients.ts';
import { applyUpdate, type ClipStep, type ClipStepParts, updateStatistics } from './step.ts';

/** The first example of a chunk, int32 scalar. */
type ChunkStart = Record<'start', Tensor>;

/** Features of the batch and the gradients with respect to them, all [B, E], and the sums of the weights' gradients. */
class GradientCache {
  readonly images: Variable;
  readonly texts: Variable;
  readonly imageGradients: Variable;
  readonly textGradients: Variable;
  readonly sums: GradientAccumulator;

  constructor({ runtime, config, weights }: ClipStepParts) {
    const features = (name: string): Variable =>
      runtime.variable(`clip/features/${name}`, [config.train.batch, config.model.embedding]);
    this.images = features('images');
    this.texts = features('texts');
    this.imageGradients = features('image gradients');
    this.textGradients = features('text gradients');
    this.sums = new GradientAccumulator(runtime, 'clip', weights.trained);
  }

  /** Inside a compiled function. */
  clear(): void {
    this.sums.clear();
    for (const variable of [this.images, this.texts, this.imageGradients, this.textGradients])
      setToZero(variable);
  }
}

/** The rows of x_BE that belong to the chunk at `start`. */
const rowsOf = (x_BE: Tensor, chunk: number, start: Tensor): Tensor2D =>
  gather(x_BE, tf.add(tf.range(0, chunk, 1, 'int32'), start)) as Tensor2D;

/** @param chunk images in memory at a time; divides the batch */
export function cachedStep(parts: ClipStepParts, chunk: number): ClipStep {
  const { batch } = parts.config.train;
  const cache = new GradientCache(parts);
  const clear = parts.runtime.compile('CLIP: clear', () => {
    cache.clear();
    return {};
  });
  const encodeChunk = compileEncoder(parts, cache, chunk);
  const differentiateLoss = compileLoss(parts, cache, chunk);
  const differentiateChunk = compileGradients(parts, cache, chunk);
  const update = parts.runtime.compile(
    'CLIP: update',
    ({ step, learningRate }: Record<'step' | 'learningRate', Tensor>) =>
      applyUpdate(parts, cache.sums.read(), step as Scalar, learningRate as Scalar, 'before'),
  );
  return async (step, learningRate, chunks) => {
    const starts = Array.from({ length: batch / chunk }, (_, i) => ({ start: intScalar(i * chunk) }));
    await clear({});
    const forEachChunk = async (run: typeof encodeChunk): Promise<void> => {
      let i = 0;
      for await (const inputs of chunks()) await run({ ...inputs, ...starts[i++]! });
    };
    await forEachChunk(encodeChunk);
    let loss = 0;
    let accuracy = 0;
    for (const start of starts) {
      const part = numbers(await differentiateLoss(start));
      loss += part.loss;
      accuracy += part.accuracy;
    }
    await forEachChunk(differentiateChunk);
    const rates = { step: floatScalar(step), learningRate: floatScalar(learningRate) };
    return { loss, accuracy, ...numbers(await update(rates)) };
  };
}

/** Writes the features of a chunk into the cache. */
function compileEncoder(parts: ClipStepParts, cache: GradientCache, chunk: number) {
  const { runtime, config, weights } = parts;
  return runtime.compile(
    'CLIP: features of a chunk',
    ({ start, ...inputs }: ClipInputs & ChunkStart) => {
      const read = (name: string): Tensor => weights.entries.get(name)!.variable.read();
      const encoded = encodePairs(weights, config.model, read, inputs, new BatchStatistics());
      const from = tf.stack([start, tf.scalar(0, 'int32')]);
      const to = tf.add(from, tf.tensor1d([chunk, config.model.embedding], 'int32'));
      cache.images.writeSlice(from, to, encoded.images, encoded.images);
      cache.texts.writeSlice(from, to, encoded.texts, encoded.texts);
      return {};
    },
    { precision: config.train.precision },
  );
}

/** Differentiates a chunk's terms of the loss: its images against all texts, and its texts against all images. */
function compileLoss({ runtime, config, weights }: ClipStepParts, cache: GradientCache, chunk: number) {
  const { batch } = config.train;
  return runtime.compile('CLIP: loss of a chunk', ({ start }: ChunkStart) => {
    const own = tf.add(tf.range(0, chunk, 1, 'int32'), start) as Tensor1D;
    let hits: Tensor | undefined;
    const loss = (all_BE: Tensor, others_BE: Tensor, scale: Tensor): Scalar => {
      const side = (from: Tensor, to: Tensor): Scalar => {
        const logits_CB = similarities(rowsOf(from, chunk, start), to as Tensor2D, scale);
        const hit = tf.sum(tf.cast(tf.equal(tf.argMax(logits_CB, 1), own), 'float32'));
        hits = tf.keep(hits ? tf.add(hits, hit) : hit);
        return tf.sum(sparseCrossEntropy(logits_CB, own));
      };
      return tf.div(tf.add(side(all_BE, others_BE), side(others_BE, all_BE)), 2 * batch);
    };
    const scale = weights.entries.get(LOGIT_SCALE)!.variable.read();
    const { value, grads } = tf.valueAndGrads(loss as (...args: Tensor[]) => Scalar)([
      cache.images.read(),
      cache.texts.read(),
      scale,
    ]);
    cache.imageGradients.add(grads[0] as Tensor);
    cache.textGradients.add(grads[1] as Tensor);
    cache.sums.add(new Map([[LOGIT_SCALE, grads[2] as Tensor]]));
    return { loss: value, accuracy: tf.div(hits as Tensor, 2 * batch) };
  });
}

/** Adds the weights' gradients of a chunk, from the gradients of its features. */
function compileGradients(parts: ClipStepParts, cache: GradientCache, chunk: number) {
  const { runtime, config, weights } = parts;
  const towers = new Map([...weights.entries].filter(([name]) => name !== LOGIT_SCALE));
  return runtime.compile(
    'CLIP: gradients of a chunk',
    ({ start, ...inputs }: ClipInputs & ChunkStart) => {
      const statistics = new BatchStatistics();
      const imageGradients = rowsOf(cache.imageGradients.read(), chunk, start);
      const textGradients = rowsOf(cache.textGradients.read(), chunk, start);
      const { gradients } = valueAndGradients(towers, (read) => {
        const readTower = (name: string): Tensor => (name === LOGIT_SCALE ? tf.scalar(0) : read(name));
        const { images, texts } = encodePairs(weights, config.model, readTower, inputs, statistics);
        // The gradient of ⟨x, g⟩ with respect to the weights, where g is constant: the chain rule at the features x.
        const inner = (x: Tensor, g: Tensor): Tensor => tf.sum(tf.mul(x, g));
        return { loss: tf.add(inner(images, imageGradients), inner(texts, textGradients)) as Scalar };
      });
      cache.sums.add(gradients);
      updateStatistics(parts, statistics);
      return {};
    },
    { precision: config.train.precision },
  );
}
