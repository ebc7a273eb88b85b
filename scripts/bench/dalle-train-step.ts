// A train step of mm's own joint Transformer for benches, as `mm train-dalle` makes it, on random tokens.

import type { Cluster } from '../../src/cluster/cluster.ts';
import { type DalleConfig, dalleSchema } from '../../src/config/dalle.ts';
import type { OpTime } from '../../src/engine/session/op-times.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { imageLength } from '../../src/models/dalle/config.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DalleStep } from '../../src/train/dalle/step.ts';
import { PowerSgd } from '../../src/train/distributed/power-sgd.ts';
import { stepKey } from '../../src/train/loop/scalars.ts';
import { initialize } from '../../src/train/loop/state.ts';
import { Adam } from '../../src/train/optim/adam.ts';
import { RunEngine } from '../../src/train/run-engine.ts';
import { createLogger } from '../../src/util/logger.ts';
import { RandomStream } from '../../src/util/random.ts';

/** @param model a model section @param train keys of a train section; as a machine with memory chooses, without */
export const trainConfig = (model: object, batch: number, train: object = {}): DalleConfig =>
  dalleSchema.parse({
    data: { path: 'random', dvae: 'none', tokenizer: 'none' },
    model,
    train: {
      ...{ steps: 1, batch, recompute: 'none' },
      optimizer: { learningRate: { peak: 3e-4 }, beta2: 0.96 },
      ...train,
    },
  });

/**
 * Initializes the weights. @param model a model section @param train keys of a train section @param cluster of workers
 * that share out the batch
 * @returns the step numbered `at`, with its loss; `times` collects the time and memory of each op
 */
export async function trainStep(
  model: object,
  batch: number,
  train: object = {},
  cluster?: Cluster,
): Promise<(at: number, times?: OpTime[]) => Promise<number>> {
  const config = trainConfig(model, batch, train);
  const runtime = cluster ? await new RunEngine(cluster, createLogger('error')).start() : new Runtime();
  const weights = new Weights(runtime, 'dalle', dalleSpec(config.model));
  const optimizer = new Adam(runtime, 'dalle', weights.entries, config.train.optimizer);
  const rank = config.train.compression?.rank;
  const compression = cluster && rank ? new PowerSgd(runtime, 'dalle', weights.entries, rank) : undefined;
  const state = { weights, trained: weights.entries, optimizer, ema: undefined, lossScale: undefined };
  const step = new DalleStep(runtime, config, { ...state, compression }, cluster);
  await initialize(runtime, state, 0);
  await compression?.factors.initialize(0);
  await compression?.residuals.load(compression.residuals.zeros());
  const { textLength, textVocabulary, imageVocabulary } = config.model;
  return async (at, times) => {
    const random = new RandomStream('bench', at);
    const ids = (length: number, vocabulary: number): Int32Array =>
      Int32Array.from({ length: batch * length }, () => random.integer(vocabulary));
    const text = ids(textLength, textVocabulary);
    const image = ids(imageLength(config.model), imageVocabulary);
    const { loss } = await step.run({ count: batch, text, image }, at, 3e-4, stepKey(0, at), times);
    return loss as number;
  };
}
