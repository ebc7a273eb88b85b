// CLIP's update on several devices, those of other workers too, each with an equal chunk of the batch: the features of all devices are gathered, so
// that each example is compared with the whole batch, and the features' gradients go back to the devices that made
// them. The gradient is exact, to rounding that of gradient caching (cached-step.ts), without computing the towers
// twice. Batch norm uses the statistics of a device's chunk.
//   B batch, R devices, C = B / R chunk, E embedding

import { allGather } from '../../engine/distributed/collectives.ts';
import { eachReplica } from '../../engine/distributed/replicas.ts';
import { sumOfRows } from '../../engine/distributed/sums.ts';
import { floatScalar } from '../../engine/native/tensor.ts';
import type { OnHost } from '../../engine/session/compiled.ts';
import { compileReplicated } from '../../engine/session/replicated.ts';
import { type Tensor, tf } from '../../engine/tfjs/tf.ts';
import { BatchStatistics } from '../../nn/batch-norm.ts';
import { gatherResults } from '../distributed/data-parallel.ts';
import { sumGradients } from '../distributed/sum-gradients.ts';
import { numbers } from '../loop/scalars.ts';
import { chunkLoss, encodeChunk, type Features, towerGradients } from './chunks.ts';
import type { ClipInputs } from './gradients.ts';
import { applyToReplicas, type ClipStep, type ClipStepParts, updateStatistics } from './step.ts';

type Rates = Record<'step' | 'learningRate', Tensor>;

export function replicatedStep(parts: ClipStepParts): ClipStep {
  const { runtime, config, cluster } = parts;
  const { count: replicas, first } = runtime.replicas;
  const chunk = config.train.batch / replicas;
  /** The gradients of this device's features: the sum of all devices' terms. */
  const returned = (x_BE: Tensor): Tensor => sumOfRows(tf.reshape(x_BE, [replicas, chunk, -1]));
  const update = compileReplicated(
    runtime,
    'CLIP train step',
    (own: readonly ClipInputs[], rates: Rates) => {
      // The towers are recorded twice, here without gradients; TensorFlow merges equal nodes.
      const features = eachReplica((r) => encodeChunk(parts, own[r]!, new BatchStatistics()));
      const all = eachReplica((r): Features => {
        const { images, texts } = features[r]!;
        return { images: allGather(images), texts: allGather(texts) };
      });
      const terms = eachReplica((r) =>
        chunkLoss(parts, all[r]!, chunk, tf.scalar((first + r) * chunk, 'int32')),
      );
      const back = eachReplica((r): Features => {
        const { images, texts } = terms[r]!.features;
        return { images: returned(images), texts: returned(texts) };
      });
      const statistics = eachReplica(() => new BatchStatistics());
      const gradients = eachReplica(
        (r) => new Map([...towerGradients(parts, own[r]!, back[r]!, statistics[r]!), ...terms[r]!.logits]),
      );
      const sums = eachReplica((r) =>
        sumGradients(runtime, gradients[r]!, parts.weights.entries, config.train),
      );
      const results = applyToReplicas(parts, sums, rates, (r) => updateStatistics(parts, statistics[r]!));
      return { each: terms.map(({ values }) => values), common: results };
    },
    { precision: config.train.precision },
  );
  return async (step, learningRate, chunks) => {
    const inputs: OnHost<ClipInputs>[] = [];
    for await (const chunk of chunks()) inputs.push(chunk);
    const rates = { step: floatScalar(step), learningRate: floatScalar(learningRate) };
    const { each, common } = await update(inputs, rates);
    const own = each.map(numbers);
    const terms = cluster ? await gatherResults(cluster, own) : own;
    const sum = (name: 'loss' | 'accuracy'): number => terms.reduce((total, of) => total + of[name], 0);
    return { loss: sum('loss'), accuracy: sum('accuracy'), ...numbers(common) };
  };
}
