// Trains the discrete VAE (arXiv 2102.12092, section 2.1): the train step, validation, pictures and checkpoints.

import type { DvaeConfig } from '../config/dvae.ts';
import type { PictureBatch } from '../data/batches.ts';
import type { Runtime } from '../engine/runtime.ts';
import type { HostTensor } from '../engine/tensor.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor4D, tf } from '../engine/tf.ts';
import { codebookUse } from '../eval/codebook.ts';
import { type DvaeArchitecture, dvaeArchitecture, hardReconstruction } from '../models/dvae/architecture.ts';
import { unflatten } from '../nn/parameters.ts';
import { Weights } from '../nn/weights.ts';
import { reconstructionGrid } from '../report/reconstructions.ts';
import { valueAndGradients } from './gradients.ts';
import type { Metrics, Trainee } from './loop.ts';
import { checkLossScale, type LossScale, lossScaleFor } from './loss-scale.ts';
import { Adam, Average } from './optimizer.ts';
import { numbers, scalar, stepKey } from './scalars.ts';
import { cosine, learningRateAt, ramp } from './schedules.ts';
import { type ModelState, saveState } from './state.ts';

/** Held-out pictures for validation: batches of equal size. */
export interface Validation {
  readonly batches: readonly Uint8Array[];
  readonly batch: number;
}

export class DvaeTrainee implements Trainee<PictureBatch> {
  readonly state: ModelState & { readonly lossScale: LossScale | undefined };
  readonly #architecture: DvaeArchitecture;
  readonly #config: DvaeConfig;
  readonly #runtime: Runtime;
  readonly #validation: Validation;
  readonly #run: string;

  constructor(runtime: Runtime, config: DvaeConfig, validation: Validation, run: string) {
    this.#architecture = dvaeArchitecture(config.model);
    const weights = new Weights(runtime, 'dvae', this.#architecture.spec);
    this.#runtime = runtime;
    this.#config = config;
    this.#validation = validation;
    this.#run = run;
    this.state = {
      weights,
      optimizer: new Adam(runtime, 'dvae', weights.entries, config.train.optimizer),
      average: config.train.averaging && new Average(runtime, 'dvae', weights, config.train.averaging),
      lossScale: lossScaleFor(runtime, 'dvae', config.train),
    };
    this.#compiledUpdate = this.#compileUpdate();
    this.#compiledReconstruct = this.#compileReconstruct();
  }

  readonly #compiledUpdate;
  readonly #compiledReconstruct;

  #compileUpdate() {
    const { train } = this.#config;
    const { weights, optimizer, average, lossScale } = this.state;
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
        const scaled = lossScale?.update(gradients, step as Scalar);
        const unscaling = scaled && (() => scaled.unscaling);
        const { gradientNorm, updates } = optimizer.apply(
          gradients,
          step as Scalar,
          learningRate as Scalar,
          unscaling,
        );
        average?.update(updates, step as Scalar, unscaling);
        return { ...values, gradientNorm, ...scaled?.metrics };
      },
      { precision: train.precision },
    );
  }

  #compileReconstruct() {
    const { weights, average } = this.state;
    return this.#runtime.compile('dVAE reconstruction', ({ pixels }: { pixels: Tensor }) => {
      const p = (average?.weights ?? weights).read();
      const { codes_BGG, pixels_BHW3, mse } = hardReconstruction(
        this.#architecture,
        p,
        tf.div(pixels, 255) as Tensor4D,
      );
      return { codes: codes_BGG, mse, pixels: tf.mul(pixels_BHW3, 255) };
    });
  }

  /** What changes with the step: fed to the train step and logged. */
  #schedules(step: number) {
    const { optimizer, temperature, kl, steps } = this.#config.train;
    return {
      learningRate: learningRateAt(step, optimizer.learningRate, steps),
      temperature: cosine(step, temperature.start, temperature.end, temperature.steps ?? steps),
      klWeight: ramp(step, kl.weight, kl.steps),
    };
  }

  async update(step: number, batch: PictureBatch): Promise<Metrics> {
    const schedules = this.#schedules(step);
    const { learningRate, temperature, klWeight } = schedules;
    const results = await this.#compiledUpdate({
      pixels: this.#pictures(batch.pixels, batch.keys.length),
      key: stepKey(this.#config.seed, step),
      step: scalar(step),
      learningRate: scalar(learningRate),
      temperature: scalar(temperature),
      klWeight: scalar(klWeight),
    });
    const metrics: Metrics = { ...numbers(results), ...schedules };
    checkLossScale(metrics.lossScale, step + 1, this.#run);
    return metrics;
  }

  #pictures(data: Uint8Array, count: number): HostTensor {
    const { imageSize } = this.#config.model;
    return { dtype: 'uint8', shape: [count, imageSize, imageSize, 3], data };
  }

  /** On held-out pictures from hard codes: mean squared error, PSNR, and the codebook's use. */
  async evaluate(): Promise<Metrics> {
    const { batches, batch } = this.#validation;
    const { vocabulary } = this.#config.model;
    const codes: Int32Array[] = [];
    let mse = 0;
    for (const pixels of batches) {
      const result = await this.#compiledReconstruct({ pixels: this.#pictures(pixels, batch) });
      codes.push(result.codes.data as Int32Array);
      mse += Number(result.mse.data[0]) / batches.length;
    }
    const { used, perplexity } = codebookUse(codes, vocabulary);
    return {
      mse,
      psnr: -10 * Math.log10(mse),
      codesUsed: used,
      codebookUse: used / vocabulary,
      perplexity,
    };
  }

  async picture(): Promise<Uint8Array> {
    const pixels = this.#validation.batches[0] as Uint8Array;
    const { imageSize } = this.#config.model;
    const result = await this.#compiledReconstruct({
      pixels: this.#pictures(pixels, this.#validation.batch),
    });
    return reconstructionGrid(
      pixels,
      Uint8Array.from(result.pixels.data as Float32Array, Math.round),
      imageSize,
    );
  }

  async save(step: number, batch: PictureBatch | undefined, evaluation: Metrics): Promise<string> {
    return saveState(this.#run, {
      kind: 'dvae',
      step,
      config: this.#config,
      state: this.state,
      position: batch?.position,
      metrics: evaluation,
    });
  }
}
