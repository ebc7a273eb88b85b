// CLIP's update by gradient caching (arXiv 2101.06983): that of the whole batch, with one chunk of it in memory. Features
// of all chunks come first, then the gradient with respect to the features, some rows of the similarity matrix at a
// time, then each chunk again, its features' gradient flowing back. With batch norm the statistics are those of a chunk.
//   B batch, C chunk, E embedding

import { floatScalar, intScalar } from '../../engine/native/tensor.ts';
import { gather } from '../../engine/ops/gather.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import { similarities } from '../../models/clip/loss.ts';
import { BatchStatistics } from '../../nn/batch-norm.ts';
import { sparseCrossEntropy } from '../../nn/functional/cross-entropy.ts';
import { clear, GradientAccumulator } from '../optim/accumulate.ts';
import { valueAndGradients } from '../optim/gradients.ts';
import {
  applyUpdate,
  type ClipInputs,
  type ClipStep,
  encode,
  LOGIT_SCALE,
  number,
  type StepParts,
  updateStatistics,
} from './step.ts';

/** The rows of x_BE that belong to the chunk at `start`. */
const rowsOf = (x_BE: Tensor, chunk: number, start: Tensor): Tensor2D =>
  gather(x_BE, tf.add(tf.range(0, chunk, 1, 'int32'), start)) as Tensor2D;

/** @param chunk images in memory at a time; divides the batch */
export function cachedStep(parts: StepParts, chunk: number): ClipStep {
  const { runtime, config, weights } = parts;
  const { batch, precision } = config.train;
  const { embedding } = config.model;
  const features = (name: string): Variable => runtime.variable(`clip/features/${name}`, [batch, embedding]);
  const images = features('images');
  const texts = features('texts');
  const imageGradients = features('image gradients');
  const textGradients = features('text gradients');
  const sum = new GradientAccumulator(runtime, 'clip', weights.trained);
  const towers = new Map([...weights.entries].filter(([name]) => name !== LOGIT_SCALE));
  type At = Record<'start', Tensor>;

  const begin = runtime.compile('CLIP: clear', () => {
    sum.clear();
    for (const variable of [images, texts, imageGradients, textGradients]) clear(variable);
    return {};
  });

  const encodeChunk = runtime.compile(
    'CLIP: features of a chunk',
    ({ start, ...inputs }: ClipInputs & At) => {
      const read = (name: string): Tensor => weights.entries.get(name)!.variable.read();
      const encoded = encode(parts, read, inputs, new BatchStatistics());
      const from = tf.stack([start, tf.scalar(0, 'int32')]);
      const to = tf.add(from, tf.tensor1d([chunk, embedding], 'int32'));
      images.writeSlice(from, to, encoded.images, encoded.images);
      texts.writeSlice(from, to, encoded.texts, encoded.texts);
      return {};
    },
    { precision },
  );

  /** The rows of the similarity matrix that belong to a chunk's images, and its columns of the chunk's texts. */
  const differentiateLoss = runtime.compile('CLIP: loss of a chunk', ({ start }: At) => {
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
      images.read(),
      texts.read(),
      scale,
    ]);
    imageGradients.add(grads[0] as Tensor);
    textGradients.add(grads[1] as Tensor);
    sum.add(new Map([[LOGIT_SCALE, grads[2] as Tensor]]));
    return { loss: value, accuracy: tf.div(hits as Tensor, 2 * batch) };
  });

  const differentiateChunk = runtime.compile(
    'CLIP: gradients of a chunk',
    ({ start, ...inputs }: ClipInputs & At) => {
      const statistics = new BatchStatistics();
      const towardsImages = rowsOf(imageGradients.read(), chunk, start);
      const towardsTexts = rowsOf(textGradients.read(), chunk, start);
      const { gradients } = valueAndGradients(towers, (read) => {
        const encoded = encode(
          parts,
          (name) => (name === LOGIT_SCALE ? tf.scalar(0) : read(name)),
          inputs,
          statistics,
        );
        const along = (a: Tensor, b: Tensor): Tensor => tf.sum(tf.mul(a, b));
        return {
          loss: tf.add(along(encoded.images, towardsImages), along(encoded.texts, towardsTexts)) as Scalar,
        };
      });
      sum.add(gradients);
      updateStatistics(parts, statistics);
      return {};
    },
    { precision },
  );

  const finish = runtime.compile(
    'CLIP: update',
    ({ step, learningRate }: Record<'step' | 'learningRate', Tensor>) =>
      applyUpdate(parts, sum.read(), step as Scalar, learningRate as Scalar, 'before'),
  );

  return async (step, learningRate, chunks) => {
    const starts = Array.from({ length: batch / chunk }, (_, i) => ({
      start: intScalar(i * chunk),
    }));
    await begin({});
    const eachChunk = async (run: typeof encodeChunk): Promise<void> => {
      let i = 0;
      for await (const inputs of chunks()) await run({ ...inputs, ...starts[i++]! });
    };
    await eachChunk(encodeChunk);
    let loss = 0;
    let accuracy = 0;
    for (const start of starts) {
      const part = await differentiateLoss(start);
      loss += number(part.loss);
      accuracy += number(part.accuracy);
    }
    await eachChunk(differentiateChunk);
    const results = await finish({ step: floatScalar(step), learningRate: floatScalar(learningRate) });
    return {
      loss,
      accuracy,
      gradientNorm: number(results.gradientNorm),
      logitScale: number(results.logitScale),
    };
  };
}
