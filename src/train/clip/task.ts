// Trains CLIP (arXiv 2103.00020, section 2).

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import type { ClipConfig } from '../../config/clip.ts';
import type { BatchPosition } from '../../data/order.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { ReplicaDevices } from '../../engine/tfjs/trace.ts';
import { ClipValidation, type HeldOutPairs, type LabelledImages } from '../../eval/clip-validation.ts';
import type { Metrics } from '../../eval/evaluator.ts';
import { ClipEncoder } from '../../inference/clip/encoder.ts';
import { ClipPipeline } from '../../inference/clip/pipeline.ts';
import { type ClipSpec, clipSpec } from '../../models/clip/model.ts';
import { Weights } from '../../nn/weights.ts';
import { emaFor } from '../distributed/replicas.ts';
import { assertSameTokenizer } from '../loop/resume-checks.ts';
import type { ModelState } from '../loop/state.ts';
import type { CarriedParts, TrainingTask } from '../loop/task.ts';
import { Adam } from '../optim/adam.ts';
import { learningRateAt } from '../optim/schedules.ts';
import { type ClipBatch, type ClipData, clipBatches } from './batches.ts';
import { cachedStep } from './cached-step.ts';
import { replicatedStep } from './replicated-step.ts';
import { type ClipStep, wholeStep } from './step.ts';

export interface ClipTaskParts {
  /** What is trained on. */
  readonly data: ClipData;
  readonly heldOut: HeldOutPairs;
  readonly labelled: LabelledImages | undefined;
  /** The workers that make the updates together. */
  readonly cluster?: Cluster | undefined;
}

export class ClipTask implements TrainingTask<ClipBatch> {
  readonly state: ModelState<ClipSpec>;
  readonly config: ClipConfig;
  readonly #data: ClipData;
  readonly #step: ClipStep;
  /** Images that a device takes at once. */
  readonly #chunk: number;
  /** Whether an update goes over its batch twice. */
  readonly #isCached: boolean;
  readonly #replicas: ReplicaDevices;
  readonly #validation: ClipValidation;

  constructor(runtime: Runtime, config: ClipConfig, { data, heldOut, labelled, cluster }: ClipTaskParts) {
    const { model, train } = config;
    const weights = new Weights(runtime, 'clip', clipSpec(model));
    const optimizer = new Adam(runtime, 'clip', weights.trained, train.optimizer, train.sharding);
    const ema = emaFor(runtime, 'clip', weights, train);
    this.config = config;
    this.#data = data;
    this.#replicas = runtime.replicas;
    this.state = { weights, optimizer, ema };
    const parts = { runtime, config, weights, optimizer, ema, cluster };
    const { count: devices } = runtime.replicas;
    const whole = train.batch / devices;
    const { gradCacheChunk: chunk = train.batch } = train;
    // A chunk on each device is cached too: its bits are those of one device with the same configuration.
    this.#isCached = chunk < train.batch && chunk <= whole;
    this.#chunk = this.#isCached ? chunk : whole;
    const inMemory = devices > 1 ? replicatedStep : wholeStep;
    this.#step = this.#isCached ? cachedStep(parts, this.#chunk) : inMemory(parts);
    const encoder = new ClipEncoder(runtime, 'CLIP validation', model, ema?.evaluated ?? weights);
    // Scale and bias order nothing: validation compares similarities with each other.
    const logits = { loss: model.loss, scale: 1, bias: 0 };
    const clip = new ClipPipeline(model, 'in training', logits, data.tokenizer, encoder);
    this.#validation = new ClipValidation(clip, heldOut, labelled);
  }

  batches(position: BatchPosition | undefined): AsyncIterator<ClipBatch> {
    return clipBatches(this.#data, this.config, position, {
      chunk: this.#chunk,
      isReplayed: this.#isCached,
      replicas: this.#replicas,
    });
  }

  onResume(from: Checkpoint): Promise<void> {
    return assertSameTokenizer(from, this.#data.tokenizer, this.config.data.tokenizer);
  }

  async update(step: number, batch: ClipBatch): Promise<Metrics> {
    const { optimizer, steps } = this.config.train;
    const learningRate = learningRateAt(step, optimizer.learningRate, steps);
    return { ...(await this.#step(step, learningRate, () => batch.chunks())), learningRate };
  }

  waited({ waited }: ClipBatch): number {
    return waited;
  }

  evaluate(): Promise<Metrics> {
    return this.#validation.run();
  }

  sampleImage(): Promise<Uint8Array | undefined> {
    return this.#validation.image();
  }

  async carried(): Promise<CarriedParts> {
    return { tokenizer: this.#data.tokenizer };
  }
}
