// Trains the discrete VAE (arXiv 2102.12092, section 2.1): the train step, validation, images and checkpoints.

import type { DvaeConfig } from '../../config/dvae.ts';
import type { ImageBatch } from '../../data/batches.ts';
import { floatScalar, type HostTensor } from '../../engine/native/tensor.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { DvaeValidation, type Validation } from '../../eval/dvae-validation.ts';
import { COLLAPSE_ADVICE } from '../../inference/measures/codebook.ts';
import { type DvaeArchitecture, dvaeArchitecture } from '../../models/dvae/architecture.ts';
import type { DvaeSpec } from '../../models/dvae/model.ts';
import { unflatten } from '../../nn/parameters.ts';
import { Weights } from '../../nn/weights.ts';
import type { Logger } from '../../util/logger.ts';
import type { Metrics, TrainingTask } from '../loop/loop.ts';
import { type ModelState, saveState } from '../loop/resume.ts';
import { numbers, stepKey } from '../loop/scalars.ts';
import { Adam, Ema } from '../optim/adam.ts';
import { valueAndGradients } from '../optim/gradients.ts';
import { checkLossScale, type LossScale, lossScaleFor } from '../optim/loss-scale.ts';
import { learningRateAt, ramp } from '../optim/schedules.ts';
import { DeadCodeReviver } from './revive.ts';
import { temperatureAt } from './temperature.ts';

export class DvaeTask implements TrainingTask<ImageBatch> {
  readonly state: ModelState & { readonly lossScale: LossScale | undefined };
  readonly #architecture: DvaeArchitecture;
  readonly #config: DvaeConfig;
  readonly #runtime: Runtime;
  readonly #validation: DvaeValidation;
  readonly #run: string;
  readonly #log: Logger;
  readonly #revival: DeadCodeReviver | undefined;
  /** Not said again until it is over. */
  #saidCollapse = false;

  constructor(runtime: Runtime, config: DvaeConfig, validation: Validation, run: string, log: Logger) {
    this.#architecture = dvaeArchitecture(config.model);
    const weights = new Weights(runtime, 'dvae', this.#architecture.spec);
    this.#runtime = runtime;
    this.#config = config;
    this.#run = run;
    this.#log = log;
    const { imageSize, vocabulary } = config.model;
    const { minLogScale, codebook } = config.train;
    const trained = {
      weights,
      optimizer: new Adam(runtime, 'dvae', weights.entries, config.train.optimizer),
      ema: config.train.ema && new Ema(runtime, 'dvae', weights, config.train.ema),
      lossScale: lossScaleFor(runtime, 'dvae', config.train),
    };
    if (codebook.revive && config.model.architecture === 'openai') {
      const parts = trained as unknown as ModelState<DvaeSpec>;
      this.#revival = new DeadCodeReviver(runtime, parts, config.model, config.seed);
    }
    this.state = { ...trained, ...(this.#revival && { extra: [this.#revival.counts] }) };
    this.#compiledUpdate = this.#compileUpdate();
    const best = this.state.ema?.weights ?? weights;
    this.#validation = new DvaeValidation(runtime, this.#architecture, best, validation, {
      imageSize,
      vocabulary,
      seed: config.seed,
      minLogScale,
      warnBelow: codebook.warnBelow,
    });
  }

  readonly #compiledUpdate;

  #compileUpdate() {
    const { train } = this.#config;
    const { weights, optimizer, ema, lossScale } = this.state;
    interface Inputs {
      [name: string]: Tensor;
      pixels: Tensor;
      key: Tensor;
      step: Tensor;
      learningRate: Tensor;
      temperature: Tensor;
      klWeight: Tensor;
    }
    return this.#runtime.compile(
      'dVAE train step',
      ({ pixels, key, step, learningRate, temperature, klWeight }: Inputs) => {
        const loss = (read: (name: string) => Tensor) =>
          this.#architecture.loss(unflatten(weights.spec, read), tf.div(pixels, 255) as Tensor4D, {
            key: key as Tensor1D,
            temperature: temperature as Scalar,
            klWeight: klWeight as Scalar,
            minLogScale: train.minLogScale,
          });
        const { values, gradients } = valueAndGradients(weights.entries, loss, lossScale?.value);
        const { logits, ...terms } = values;
        this.#revival?.count(logits);
        const scaled = lossScale?.update(gradients, step as Scalar);
        const unscaling = scaled && (() => scaled.unscaling);
        const { gradientNorm, updates } = optimizer.apply(
          gradients,
          step as Scalar,
          learningRate as Scalar,
          unscaling,
        );
        ema?.update(updates, step as Scalar, unscaling);
        return { ...terms, gradientNorm, ...scaled?.metrics };
      },
      { precision: train.precision },
    );
  }

  /** What changes with the step: fed to the train step and logged. */
  #schedules(step: number) {
    const { optimizer, kl, steps } = this.#config.train;
    return {
      learningRate: learningRateAt(step, optimizer.learningRate, steps),
      temperature: temperatureAt(step, this.#config.train),
      klWeight: ramp(step, kl.weight, kl.steps),
    };
  }

  async update(step: number, batch: ImageBatch): Promise<Metrics> {
    const schedules = this.#schedules(step);
    const { learningRate, temperature, klWeight } = schedules;
    const pixels = this.#images(batch.pixels, batch.keys.length);
    const results = await this.#compiledUpdate({
      pixels,
      key: stepKey(this.#config.seed, step),
      step: floatScalar(step),
      learningRate: floatScalar(learningRate),
      temperature: floatScalar(temperature),
      klWeight: floatScalar(klWeight),
    });
    const metrics: Metrics = { ...numbers(results), ...schedules };
    checkLossScale(metrics.lossScale, step + 1, this.#run);
    await this.#revive(step + 1, pixels);
    return metrics;
  }

  async #revive(step: number, pixels: HostTensor): Promise<void> {
    const { revive } = this.#config.train.codebook;
    if (!this.#revival || !revive || step % revive.every !== 0) return;
    const count = await this.#revival.run(step, pixels);
    if (count > 0) this.#log.info(`step ${step}: ${count} dead codes revived`);
  }

  #images(data: Uint8Array, count: number): HostTensor {
    const { imageSize } = this.#config.model;
    return { dtype: 'uint8', shape: [count, imageSize, imageSize, 3], data };
  }

  async evaluate(step: number): Promise<Metrics> {
    const { figures, collapse } = await this.#validation.run(temperatureAt(step, this.#config.train));
    // Drawn weights have yet to spread over the codebook: step 0 says nothing.
    const hasCollapsed = collapse !== undefined && step > 0;
    if (hasCollapsed && !this.#saidCollapse) this.#log.warn(`step ${step}: ${collapse}; ${COLLAPSE_ADVICE}`);
    this.#saidCollapse = hasCollapsed;
    return figures;
  }

  sampleImage(): Promise<Uint8Array> {
    return this.#validation.image();
  }

  async save(step: number, batch: ImageBatch | undefined, evaluation: Metrics): Promise<string> {
    return saveState(this.#run, {
      kind: 'dvae',
      step,
      config: this.#config,
      state: this.state,
      dataPosition: batch?.position,
      metrics: evaluation,
    });
  }
}
