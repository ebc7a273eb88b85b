// Steps of a joint Transformer on random tokens, an example for each device, with the training state divided as
// train.sharding says.

import type { Cluster } from '../../../src/cluster/cluster.ts';
import type { DalleConfig } from '../../../src/config/dalle.ts';
import type { Runtime } from '../../../src/engine/session/runtime.ts';
import { imageLength } from '../../../src/models/dalle/config.ts';
import { dalleSpec } from '../../../src/models/dalle/model.ts';
import { Weights } from '../../../src/nn/weights.ts';
import { DalleStep } from '../../../src/train/dalle/step.ts';
import { ReplicatedState } from '../../../src/train/distributed/replicas.ts';
import { restoreSlices } from '../../../src/train/distributed/sliced-state.ts';
import { slicedWeightsFor } from '../../../src/train/distributed/sliced-weights.ts';
import { stepKey } from '../../../src/train/loop/scalars.ts';
import { initialize } from '../../../src/train/loop/state.ts';
import { Adam } from '../../../src/train/optim/adam.ts';
import { RandomStream } from '../../../src/util/random.ts';

export interface ShardedStep {
  readonly optimizer: Adam;
  /** Makes the update numbered `at`; returns its loss. */
  step(at: number): Promise<number>;
}

export async function shardedStep(
  runtime: Runtime,
  config: DalleConfig,
  cluster?: Cluster,
): Promise<ShardedStep> {
  const { model, train } = config;
  const { batch: count, sharding } = train;
  const weights = new Weights(runtime, 'dalle', dalleSpec(model));
  const slicedWeights = slicedWeightsFor(runtime, 'dalle', weights, sharding);
  const trained = (slicedWeights ?? weights).entries;
  const optimizer = new Adam(runtime, 'dalle', trained, train.optimizer, sharding);
  const state = { weights, slicedWeights, trained, optimizer, ema: undefined, lossScale: undefined };
  const step = new DalleStep(runtime, config, state, cluster);
  if (cluster?.isPrimary ?? true) await initialize(runtime, state, 0);
  await new ReplicatedState(runtime, state).copy();
  await restoreSlices(runtime, state, { isResumed: false, checkpoint: undefined });
  const ids = (length: number, vocabulary: number, at: number): Int32Array => {
    const random = new RandomStream('memory', at);
    return Int32Array.from({ length: count * length }, () => random.integer(vocabulary));
  };
  return {
    optimizer,
    step: async (at) => {
      const text = ids(model.textLength, model.textVocabulary, at);
      const image = ids(imageLength(model), model.imageVocabulary, at);
      const { loss = 0 } = await step.run({ count, text, image }, at, 3e-4, stepKey(0, at));
      return loss;
    },
  };
}
