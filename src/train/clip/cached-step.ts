// CLIP's update by gradient caching (arXiv 2101.06983): the update of the whole batch, with one chunk of it in memory.
// First the features of all chunks are computed, then the loss's gradient with respect to the features, one chunk's
// rows of the similarity matrix at a time, then each chunk again with its features' gradient as the incoming gradient.
// Batch norm uses the statistics of a chunk. Several devices take as many chunks at once.
//   B batch, C chunk, E embedding

import { allGather } from '../../engine/distributed/collectives.ts';
import { eachReplica } from '../../engine/distributed/replicas.ts';
import { sumOverReplicas } from '../../engine/distributed/sums.ts';
import { floatScalar, intScalar } from '../../engine/native/tensor.ts';
import type { OnHost } from '../../engine/session/compiled.ts';
import { compileReplicated } from '../../engine/session/replicated.ts';
import { type Tensor, tf } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import { BatchStatistics } from '../../nn/batch-norm.ts';
import { gatherResults } from '../distributed/data-parallel.ts';
import { accumulatorFor, sumAccumulated } from '../distributed/sum-gradients.ts';
import { numbers } from '../loop/scalars.ts';
import { type GradientAccumulator, setToZero } from '../optim/accumulate.ts';
import { chunkLoss, encodeChunk, rowsOf, towerGradients } from './chunks.ts';
import type { ClipInputs } from './gradients.ts';
import { applyToReplicas, type ClipStep, type ClipStepParts, updateStatistics } from './step.ts';

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
    this.sums = accumulatorFor(runtime, 'clip', weights.trained, config.train);
  }

  /** Inside a compiled function. */
  clear(): void {
    this.sums.clear();
    for (const variable of [this.images, this.texts, this.imageGradients, this.textGradients])
      setToZero(variable);
  }
}

/** @param chunk images in memory at a time on a device; the batch is a multiple of the devices' chunks */
export function cachedStep(parts: ClipStepParts, chunk: number): ClipStep {
  const { runtime, config, cluster } = parts;
  const { names, count, first } = runtime.replicas;
  const cache = new GradientCache(parts);
  const clear = runtime.compile('CLIP: clear', () => {
    eachReplica(() => cache.clear());
    return {};
  });
  const encodeChunks = compileEncoder(parts, cache, chunk);
  const differentiateLoss = compileLoss(parts, cache, chunk);
  const sumFeatureGradients = compileFeatureSums(parts, cache);
  const differentiateChunks = compileGradients(parts, cache, chunk);
  const update = compileUpdate(parts, cache);
  /** The first examples of the chunks of this process's devices, round by round. */
  const rounds = Array.from({ length: config.train.batch / (chunk * count) }, (_, round) =>
    names.map((_, r) => ({ start: intScalar((round * count + first + r) * chunk) })),
  );
  return async (step, learningRate, chunks) => {
    await clear({});
    const eachRound = async (
      run: (
        own: readonly OnHost<ClipInputs & ChunkStart>[],
        shared: Record<never, never>,
      ) => Promise<unknown>,
    ): Promise<void> => {
      let own: OnHost<ClipInputs & ChunkStart>[] = [];
      let round = 0;
      for await (const inputs of chunks()) {
        own.push({ ...inputs, ...rounds[round]![own.length]! });
        if (own.length < names.length) continue;
        await run(own, {});
        own = [];
        round++;
      }
    };
    await eachRound(encodeChunks);
    let loss = 0;
    let accuracy = 0;
    for (const starts of rounds) {
      const own = (await differentiateLoss(starts, {})).each.map(numbers);
      for (const terms of cluster ? await gatherResults(cluster, own) : own) {
        loss += terms.loss;
        accuracy += terms.accuracy;
      }
    }
    if (count > 1) await sumFeatureGradients({});
    await eachRound(differentiateChunks);
    const rates = { step: floatScalar(step), learningRate: floatScalar(learningRate) };
    return { loss, accuracy, ...numbers(await update(rates)) };
  };
}

/** Writes the features of a chunk, or of one on each device, into the cache of every device. */
function compileEncoder(parts: ClipStepParts, cache: GradientCache, chunk: number) {
  const { runtime, config } = parts;
  const { count, first } = runtime.replicas;
  const rows = chunk * count;
  return compileReplicated(
    runtime,
    'CLIP: features of a chunk',
    (own: readonly (ClipInputs & ChunkStart)[]) => {
      const features = eachReplica((r) => encodeChunk(parts, own[r]!, new BatchStatistics()));
      eachReplica((r) => {
        const start = first === 0 ? own[0]!.start : tf.sub(own[0]!.start, tf.scalar(first * chunk, 'int32'));
        const from = tf.stack([start, tf.scalar(0, 'int32')]);
        const to = tf.add(from, tf.tensor1d([rows, config.model.embedding], 'int32'));
        const images = allGather(features[r]!.images);
        const texts = allGather(features[r]!.texts);
        cache.images.writeSlice(from, to, images, images);
        cache.texts.writeSlice(from, to, texts, texts);
      });
      return { each: [], common: {} };
    },
    { precision: config.train.precision },
  );
}

/** Differentiates the terms of the loss of a chunk, or of one on each device. */
function compileLoss(parts: ClipStepParts, cache: GradientCache, chunk: number) {
  return compileReplicated(parts.runtime, 'CLIP: loss of a chunk', (own: readonly ChunkStart[]) => ({
    each: eachReplica((r) => {
      const all = { images: cache.images.read(), texts: cache.texts.read() };
      const { values, features, logits } = chunkLoss(parts, all, chunk, own[r]!.start);
      cache.imageGradients.add(features.images);
      cache.textGradients.add(features.texts);
      cache.sums.add(logits);
      return values;
    }),
    common: {},
  }));
}

/** Sums the gradients of the features over the devices. */
function compileFeatureSums({ runtime, config }: ClipStepParts, cache: GradientCache) {
  return runtime.compile('CLIP: gradients of the features', () => {
    eachReplica(() => {
      for (const variable of [cache.imageGradients, cache.textGradients])
        variable.assign(sumOverReplicas(variable.read(), config.train.allReduce));
    });
    return {};
  });
}

/** Adds the weights' gradients of a chunk, or of one on each device, from the gradients of its features. */
function compileGradients(parts: ClipStepParts, cache: GradientCache, chunk: number) {
  return compileReplicated(
    parts.runtime,
    'CLIP: gradients of a chunk',
    (own: readonly (ClipInputs & ChunkStart)[]) => {
      const statistics = eachReplica((r) => {
        const { start } = own[r]!;
        const features = {
          images: rowsOf(cache.imageGradients.read(), chunk, start),
          texts: rowsOf(cache.textGradients.read(), chunk, start),
        };
        const seen = new BatchStatistics();
        cache.sums.add(towerGradients(parts, own[r]!, features, seen));
        return seen;
      });
      eachReplica((r) => updateStatistics(parts, statistics[r]!));
      return { each: [], common: {} };
    },
    { precision: parts.config.train.precision },
  );
}

function compileUpdate(parts: ClipStepParts, cache: GradientCache) {
  type Rates = Record<'step' | 'learningRate', Tensor>;
  return parts.runtime.compile('CLIP: update', (rates: Rates) => {
    const sums = eachReplica(() =>
      sumAccumulated(parts.runtime, cache.sums, parts.weights.entries, parts.config.train),
    );
    return applyToReplicas(parts, sums, rates, () => 'before');
  });
}
