// One update of the joint Transformer, from the equal parts of a batch (distributed/batch-update.ts).

import type { Cluster } from '../../cluster/cluster.ts';
import type { DalleConfig } from '../../config/dalle.ts';
import type { Examined } from '../../engine/graph/examine.ts';
import { floatScalar, type HostTensor } from '../../engine/native/tensor.ts';
import type { OpTime } from '../../engine/session/op-times.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Scalar, Tensor } from '../../engine/tfjs/tf.ts';
import { imageLength } from '../../models/dalle/config.ts';
import { countTextTokens } from '../../models/dalle/loss.ts';
import type { DalleSpec } from '../../models/dalle/model.ts';
import type { WeightEntries, Weights } from '../../nn/weights.ts';
import { BatchUpdate, keyOfPart, partOf, type Rates } from '../distributed/batch-update.ts';
import type { PowerSgd } from '../distributed/power-sgd.ts';
import type { SlicedWeights } from '../distributed/sliced-weights.ts';
import type { Adam } from '../optim/adam.ts';
import type { BlockLossScale } from '../optim/block-loss-scale.ts';
import type { Ema } from '../optim/ema.ts';
import type { BatchGradients } from '../optim/sliced-gradients.ts';
import { dalleGradients } from './gradients.ts';

/** The variables that a step changes. */
export interface DalleStepState {
  readonly weights: Weights<DalleSpec>;
  /** Where each replica has slices of the weights only. */
  readonly slicedWeights?: SlicedWeights | undefined;
  /** The weights that are trained. */
  readonly trained: WeightEntries;
  readonly optimizer: Adam;
  readonly ema: Ema<DalleSpec> | undefined;
  readonly lossScale: BlockLossScale | undefined;
  /** Compresses the gradients that workers exchange. */
  readonly compression?: PowerSgd | undefined;
}

/** Captioned images as tokens, count × textLength and count × grid². */
export interface DalleStepBatch {
  readonly count: number;
  readonly text: Int32Array;
  readonly image: Int32Array;
}

type Results = Readonly<Record<string, number>>;
type Part = Record<'text' | 'image' | 'key' | 'textTokens', Tensor>;

export class DalleStep {
  readonly #config: DalleConfig;
  readonly #state: DalleStepState;
  readonly #update: BatchUpdate<Part>;

  constructor(runtime: Runtime, config: DalleConfig, state: DalleStepState, cluster?: Cluster) {
    this.#config = config;
    this.#state = state;
    const { train } = config;
    this.#update = new BatchUpdate(runtime, {
      name: 'DALL·E',
      prefix: 'dalle',
      trained: state.trained,
      train,
      cluster,
      compression: state.compression,
      gradients: (part) => this.#gradients(part),
      update: (gradients, rates, isFirst) => this.#apply(gradients, rates, isFirst),
    });
  }

  /**
   * Makes one update.
   * @param step updates made before this one
   * @param key of the step's random numbers, int32[2]
   * @param times collects the time and memory of each op
   * @returns losses in nats per token, the global gradient norm, and metrics of the loss scales
   */
  run(
    batch: DalleStepBatch,
    step: number,
    learningRate: number,
    key: HostTensor,
    times?: OpTime[],
  ): Promise<Results> {
    return this.#update.run(this.#parts(batch, key), step, learningRate, times);
  }

  /** The first tensor of a step that is not finite, and the line that made it; undefined when all are finite. */
  firstNonFinite(batch: DalleStepBatch, key: HostTensor): Promise<string | undefined> {
    return this.#update.firstNonFinite(this.#parts(batch, key));
  }

  /** Builds an update without making it, and returns its nodes; not with gradient accumulation. */
  examine(batch: DalleStepBatch, key: HostTensor): Examined {
    return this.#update.examine(this.#parts(batch, key));
  }

  inputs({ count, text, image }: DalleStepBatch, key: HostTensor) {
    const { model } = this.#config;
    const ids = (data: Int32Array, length: number): HostTensor => ({
      dtype: 'int32',
      shape: [count, length],
      data,
    });
    return {
      text: ids(text, model.textLength),
      image: ids(image, imageLength(model)),
      key,
      textTokens: floatScalar(countTextTokens(text, model)),
    };
  }

  /** This worker's parts of the batch. Their losses are means over the text tokens of the whole batch. */
  #parts(batch: DalleStepBatch, key: HostTensor) {
    const { partCount: all, firstPart, ownParts } = this.#update;
    const { textTokens } = this.inputs(batch, key);
    return Array.from({ length: ownParts }, (_, i) => {
      const part = firstPart + i;
      const cut = (ids: Int32Array): Int32Array => partOf(ids, part, all);
      const own = { count: batch.count / all, text: cut(batch.text), image: cut(batch.image) };
      return { ...this.inputs(own, keyOfPart(key, part)), textTokens };
    });
  }

  #gradients(part: Part) {
    const { weights, slicedWeights: slices, trained, lossScale } = this.#state;
    const { partCount } = this.#update;
    const wholeBatch =
      partCount > 1 ? { textTokens: part.textTokens as Scalar, imageShare: 1 / partCount } : undefined;
    return dalleGradients(weights, trained, this.#config, part, {
      lossScales: lossScale?.values(),
      wholeBatch,
      slices,
    });
  }

  #apply(gradients: BatchGradients, rates: Rates, isFirst: boolean): Record<string, Tensor> {
    const { optimizer, ema, lossScale } = this.#state;
    const [step, learningRate] = [rates.step as Scalar, rates.learningRate as Scalar];
    const scaled = lossScale?.update(gradients, step);
    const { gradientNorm, updates } = optimizer.apply(gradients, step, learningRate, scaled?.unscaling);
    if (isFirst || ema?.slices) ema?.update(updates, step, scaled?.unscaling);
    return { gradientNorm, ...scaled?.metrics };
  }
}
