// Trains the joint Transformer (arXiv 2102.12092, section 2.2).

import { type Checkpoint, hashOf } from '../../checkpoint/checkpoint.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import type { DalleConfig } from '../../config/dalle.ts';
import type { BatchPosition } from '../../data/order.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { DalleValidation } from '../../eval/dalle-validation.ts';
import type { Metrics } from '../../eval/evaluator.ts';
import type { DvaeCodec } from '../../inference/dvae/codec.ts';
import { type DalleSpec, dalleSpec } from '../../models/dalle/model.ts';
import { Weights } from '../../nn/weights.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { Residuals } from '../distributed/error-feedback.ts';
import { PowerSgd } from '../distributed/power-sgd.ts';
import { emaFor } from '../distributed/replicas.ts';
import { ShownWeights, slicedWeightsFor } from '../distributed/sliced-weights.ts';
import { Plateau } from '../loop/plateau.ts';
import { assertSamePart, assertSameTokenizer } from '../loop/resume-checks.ts';
import { stepKey } from '../loop/scalars.ts';
import { type ModelState, startEma } from '../loop/state.ts';
import type { CarriedParts, TrainingTask } from '../loop/task.ts';
import { Adam } from '../optim/adam.ts';
import { BlockLossScale } from '../optim/block-loss-scale.ts';
import type { Diagnosis } from '../optim/divergence.ts';
import { assertLossScale } from '../optim/loss-scale.ts';
import { constantAfterWarmup, learningRateAt } from '../optim/schedules.ts';
import { type TokenBatch, trainingBatches } from './batches.ts';
import { codebookInit } from './codebook-init.ts';
import type { TokenExamples } from './examples.ts';
import { trainedEntries } from './freeze.ts';
import { initFrom } from './init-from.ts';
import { muonOf } from './matrices.ts';
import { DalleStep } from './step.ts';

export interface DalleTaskParts {
  readonly codec: DvaeCodec;
  readonly dvae: Checkpoint;
  readonly tokenizer: Tokenizer;
  /** Initial weights of a new run; undefined for random ones. */
  readonly initFrom: Checkpoint | undefined;
  readonly training: TokenExamples;
  readonly validation: readonly TokenBatch[];
  /** Captions to sample while training; cut to the model's text length. */
  readonly prompts: readonly string[];
  /** The run folder, for messages. */
  readonly run: string;
  /** The workers that make the updates together. */
  readonly cluster?: Cluster | undefined;
}

export class DalleTask implements TrainingTask<TokenBatch> {
  readonly state: ModelState<DalleSpec>;
  readonly #runtime: Runtime;
  readonly config: DalleConfig;
  readonly #parts: DalleTaskParts;
  readonly #step: DalleStep;
  readonly #plateau: Plateau | undefined;
  readonly #validation: DalleValidation;

  constructor(runtime: Runtime, config: DalleConfig, parts: DalleTaskParts) {
    const { model, train, seed } = config;
    const weights = new Weights(runtime, 'dalle', dalleSpec(model));
    const slicedWeights = slicedWeightsFor(runtime, 'dalle', weights, train.sharding);
    const trained = trainedEntries((slicedWeights ?? weights).entries, train.freeze);
    const optimizer = new Adam(
      runtime,
      'dalle',
      trained,
      train.optimizer,
      train.sharding,
      muonOf(trained, config),
    );
    const ema = emaFor(runtime, 'dalle', weights, train, slicedWeights);
    const lossScale =
      train.precision === 'float16'
        ? new BlockLossScale(runtime, 'dalle', model.layers, train.blockLossScale)
        : undefined;
    const compression =
      parts.cluster && train.compression
        ? new PowerSgd(runtime, 'dalle', trained, train.compression.rank)
        : undefined;
    this.#runtime = runtime;
    this.config = config;
    this.#parts = parts;
    this.#plateau = train.plateau && new Plateau(train.plateau);
    this.state = {
      weights,
      slicedWeights,
      shownWeights: slicedWeights && new ShownWeights(runtime, weights, ema?.slices ?? slicedWeights),
      optimizer,
      ema,
      lossScale,
      residuals: compression && new Residuals(runtime, compression.residuals),
      extra: compression ? [compression.factors] : [],
    };
    const changed = { weights, slicedWeights, trained, optimizer, ema, lossScale, compression };
    this.#step = new DalleStep(runtime, config, changed, parts.cluster);
    this.#validation = new DalleValidation(runtime, ema?.evaluated ?? weights, {
      model,
      textLossWeight: train.textLossWeight,
      seed,
      batches: parts.validation,
      prompts: parts.prompts,
      temperature: train.samples.temperature,
      codec: parts.codec,
      tokenizer: parts.tokenizer,
    });
  }

  batches(position: BatchPosition | undefined): AsyncIterator<TokenBatch> {
    return trainingBatches(this.#parts.training, this.#parts.tokenizer, this.config, position);
  }

  async onStart(): Promise<void> {
    const { train } = this.config;
    const { codec, initFrom: origin } = this.#parts;
    const { weights } = this.state;
    if (train.codebookInit)
      await codebookInit(this.#runtime, weights, await codec.codeVectors(), this.config);
    if (origin) await initFrom(weights, origin, this.config.model);
    if (origin || train.codebookInit) await startEma(this.#runtime, this.state);
  }

  async onResume(from: Checkpoint): Promise<void> {
    const { data } = this.config;
    assertSamePart('dVAE', hashOf(await from.dvae()) === this.#parts.codec.hash, data.dvae);
    await assertSameTokenizer(from, this.#parts.tokenizer, data.tokenizer);
  }

  restore(metrics: Metrics): void {
    this.#plateau?.restore(metrics);
  }

  async update(step: number, batch: TokenBatch): Promise<Metrics> {
    const learningRate = this.#learningRate(step);
    const results = await this.#step.run(batch, step, learningRate, this.#key(step));
    assertLossScale(results.minBlockLossScale, step + 1, this.#parts.run);
    return { ...results, learningRate };
  }

  #learningRate(step: number): number {
    const { optimizer, steps } = this.config.train;
    return this.#plateau
      ? constantAfterWarmup(step, optimizer.learningRate, this.#plateau.factor)
      : learningRateAt(step, optimizer.learningRate, steps);
  }

  #key(step: number): HostTensor {
    return stepKey(this.config.seed, step);
  }

  async diagnose(step: number, batch: TokenBatch): Promise<Diagnosis> {
    return { tensor: await this.#step.firstNonFinite(batch, this.#key(step)), files: batch.keys };
  }

  async evaluate(): Promise<Metrics> {
    const metrics = await this.#validation.run();
    return { ...metrics, ...this.#plateau?.observe(metrics.loss as number) };
  }

  sampleImage(): Promise<Uint8Array | undefined> {
    return this.#validation.image();
  }

  async carried(): Promise<CarriedParts> {
    const { tokenizer, dvae } = this.#parts;
    return { tokenizer, dvae, compression: this.state.residuals?.sources() };
  }
}
