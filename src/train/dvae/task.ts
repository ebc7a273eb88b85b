// Trains the discrete VAE (arXiv 2102.12092, section 2.1).

import type { Cluster } from '../../cluster/cluster.ts';
import type { DvaeConfig } from '../../config/dvae.ts';
import { type ImageBatch, ImageBatches, type WorkerShare } from '../../data/batches.ts';
import type { Images } from '../../data/image-set.ts';
import type { BatchPosition } from '../../data/order.ts';
import type { Faults } from '../../data/sources/faults.ts';
import { floatScalar, type HostTensor } from '../../engine/native/tensor.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { DvaeValidation, type HeldOutImages } from '../../eval/dvae-validation.ts';
import type { Metrics } from '../../eval/evaluator.ts';
import { COLLAPSE_ADVICE } from '../../inference/measures/codebook.ts';
import { type DvaeArchitecture, dvaeArchitecture } from '../../models/dvae/architecture.ts';
import { codeGrid } from '../../models/dvae/config.ts';
import type { DvaeSpec } from '../../models/dvae/model.ts';
import { Weights } from '../../nn/weights.ts';
import type { JobContext } from '../../util/job.ts';
import { emaFor } from '../distributed/replicas.ts';
import { stepKey } from '../loop/scalars.ts';
import type { ModelState } from '../loop/state.ts';
import type { TrainingTask } from '../loop/task.ts';
import { Adam } from '../optim/adam.ts';
import { assertLossScale, type LossScale, lossScaleFor } from '../optim/loss-scale.ts';
import { learningRateAt, linearRamp } from '../optim/schedules.ts';
import { DeadCodeReviver } from './revive.ts';
import { DvaeStep } from './step.ts';
import { temperatureAt } from './temperature.ts';
import { warmStart } from './warm-start.ts';

export interface DvaeTaskParts extends JobContext {
  /** The run folder, for messages. */
  readonly path: string;
  /** Images to train on. */
  readonly images: Images;
  readonly validation: HeldOutImages;
  /** Collects the images that are skipped. */
  readonly faults: Faults;
  /** The workers that make the updates together. */
  readonly cluster?: Cluster | undefined;
}

export class DvaeTask implements TrainingTask<ImageBatch> {
  readonly state: ModelState & { readonly lossScale: LossScale | undefined };
  readonly #runtime: Runtime;
  readonly config: DvaeConfig;
  readonly #parts: DvaeTaskParts;
  readonly #architecture: DvaeArchitecture;
  readonly #step: DvaeStep;
  readonly #validation: DvaeValidation;
  readonly #reviver: DeadCodeReviver | undefined;
  /** Whether the last validation warned of a collapse: the warning is not repeated until it is over. */
  #hasWarned = false;

  constructor(runtime: Runtime, config: DvaeConfig, parts: DvaeTaskParts) {
    const { model, train, seed } = config;
    this.#runtime = runtime;
    this.config = config;
    this.#parts = parts;
    this.#architecture = dvaeArchitecture(model);
    const weights = new Weights(runtime, 'dvae', this.#architecture.spec);
    const state = {
      weights,
      optimizer: new Adam(runtime, 'dvae', weights.entries, train.optimizer, train.sharding),
      ema: emaFor(runtime, 'dvae', weights, train),
      lossScale: lossScaleFor(runtime, 'dvae', train),
    };
    if (train.codebook.revive && model.architecture === 'openai') {
      this.#reviver = new DeadCodeReviver(runtime, state as unknown as ModelState<DvaeSpec>, model, seed);
    }
    this.state = { ...state, ...(this.#reviver && { extra: [this.#reviver.counts] }) };
    this.#step = new DvaeStep(runtime, this.#architecture, config, this.state, {
      reviver: this.#reviver,
      cluster: parts.cluster,
    });
    const evaluated = this.state.ema?.evaluated ?? weights;
    this.#validation = new DvaeValidation(runtime, this.#architecture, evaluated, parts.validation, {
      imageSize: model.imageSize,
      vocabulary: model.vocabulary,
      seed,
      minLogScale: train.minLogScale,
      warnBelow: train.codebook.warnBelow,
    });
  }

  batches(position: BatchPosition | undefined): AsyncIterator<ImageBatch> {
    return this.#imageBatches(this.config.seed, position, this.#parts.cluster)[Symbol.asyncIterator]();
  }

  #imageBatches(seed: number, position?: BatchPosition, share?: WorkerShare): ImageBatches {
    const { model, data, train } = this.config;
    return new ImageBatches(this.#parts.images, {
      size: model.imageSize,
      grid: codeGrid(model),
      batch: train.batch,
      seed,
      crop: data.crop,
      cropScale: data.cropScale,
      flip: data.flip,
      position,
      share,
      faults: this.#parts.faults,
    });
  }

  async onStart(): Promise<void> {
    const { model, train, seed } = this.config;
    if (!train.warmStart || model.architecture !== 'openai') return;
    await warmStart(this.#runtime, this.state as unknown as ModelState<DvaeSpec>, {
      ...this.#parts,
      model,
      train,
      seed,
      settings: train.warmStart,
      batches: this.#imageBatches(seed + 1),
    });
  }

  /** Values of the step's schedules, which are fed to the train step and logged. */
  #schedules(step: number) {
    const { optimizer, kl, steps } = this.config.train;
    return {
      learningRate: learningRateAt(step, optimizer.learningRate, steps),
      temperature: temperatureAt(step, this.config.train),
      klWeight: linearRamp(step, kl.weight, kl.steps),
    };
  }

  async update(step: number, batch: ImageBatch): Promise<Metrics> {
    const schedules = this.#schedules(step);
    const { learningRate, temperature, klWeight } = schedules;
    const { imageSize } = this.config.model;
    const shape = [batch.keys.length, imageSize, imageSize, 3];
    const pixels: HostTensor = { dtype: 'uint8', shape, data: batch.pixels };
    const inputs = {
      pixels,
      key: stepKey(this.config.seed, step),
      temperature: floatScalar(temperature),
      klWeight: floatScalar(klWeight),
    };
    const metrics: Metrics = { ...(await this.#step.run(inputs, step, learningRate)), ...schedules };
    assertLossScale(metrics.lossScale, step + 1, this.#parts.path);
    await this.#revive(step + 1, pixels);
    return metrics;
  }

  async #revive(step: number, pixels: HostTensor): Promise<void> {
    const { revive } = this.config.train.codebook;
    if (!this.#reviver || !revive || step % revive.every !== 0) return;
    const count = await this.#reviver.run(step, pixels);
    if (count > 0) this.#parts.log.info(`step ${step}: ${count} dead codes revived`);
  }

  async evaluate(step: number): Promise<Metrics> {
    const metrics = await this.#validation.run(temperatureAt(step, this.config.train));
    const { collapse } = this.#validation;
    // At step 0 the initial weights have not spread over the codebook yet.
    const hasCollapsed = collapse !== undefined && step > 0;
    if (hasCollapsed && !this.#hasWarned)
      this.#parts.log.warn(`step ${step}: ${collapse}; ${COLLAPSE_ADVICE}`);
    this.#hasWarned = hasCollapsed;
    return metrics;
  }

  sampleImage(): Promise<Uint8Array> {
    return this.#validation.image();
  }
}
