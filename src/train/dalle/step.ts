// One update of the joint Transformer as compiled functions: from a whole batch at once, or by gradient accumulation
// over equal parts of it. The parts' gradients are summed in the session, and over the workers where there are several.

import type { Cluster } from '../../cluster/cluster.ts';
import type { DalleConfig } from '../../config/dalle.ts';
import { floatScalar, type HostTensor } from '../../engine/native/tensor.ts';
import type { Compiled } from '../../engine/session/compiled.ts';
import type { OpTime } from '../../engine/session/op-times.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Scalar, Tensor } from '../../engine/tfjs/tf.ts';
import { imageLength } from '../../models/dalle/config.ts';
import { countTextTokens } from '../../models/dalle/loss.ts';
import type { DalleSpec } from '../../models/dalle/model.ts';
import type { WeightEntries, Weights } from '../../nn/weights.ts';
import { AllReduce } from '../distributed/all-reduce.ts';
import type { PowerSgd } from '../distributed/power-sgd.ts';
import { numbers } from '../loop/scalars.ts';
import { GradientAccumulator } from '../optim/accumulate.ts';
import type { Adam } from '../optim/adam.ts';
import type { BlockLossScale } from '../optim/block-loss-scale.ts';
import type { Ema } from '../optim/ema.ts';
import { dalleGradients } from './gradients.ts';

/** The variables that a step changes. */
export interface DalleStepState {
  readonly weights: Weights<DalleSpec>;
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
type HostRates = { readonly step: HostTensor; readonly learningRate: HostTensor };
type PartInputs = Record<'text' | 'image' | 'key' | 'textTokens', Tensor>;
type RateInputs = Record<'step' | 'learningRate', Tensor>;
type Losses = Record<'loss' | 'textLoss' | 'imageLoss', Scalar>;

const LOSSES = ['loss', 'textLoss', 'imageLoss'] as const;

export class DalleStep {
  readonly #config: DalleConfig;
  readonly #state: DalleStepState;
  readonly #cluster: Cluster | undefined;
  /** Parts of a batch over all workers. */
  readonly #partCount: number;
  readonly #whole: Compiled<PartInputs & RateInputs, Record<string, Tensor>>;
  readonly #part: Compiled<PartInputs, Losses>;
  readonly #apply: Compiled<RateInputs, Record<string, Tensor>>;
  /** Applies the sums over all workers. */
  readonly #applyAll: Compiled<Record<string, Tensor>, Record<string, Tensor>>;
  readonly #allReduce: AllReduce | undefined;
  /** Sums of the gradients of a batch's parts; 0 between updates. */
  readonly #sums: GradientAccumulator | undefined;
  readonly #clear: Compiled<Record<never, Tensor>, Record<never, Tensor>>;
  #isCleared = false;

  constructor(runtime: Runtime, config: DalleConfig, state: DalleStepState, cluster?: Cluster) {
    this.#config = config;
    this.#state = state;
    this.#cluster = cluster;
    const { precision, accumulateSteps } = config.train;
    this.#partCount = accumulateSteps * (cluster?.workers ?? 1);
    if (this.#partCount > 1) this.#sums = new GradientAccumulator(runtime, 'dalle', state.trained);
    this.#whole = runtime.compile(
      'DALL·E train step',
      (inputs) => {
        const { values, gradients } = this.#gradients(inputs);
        return { ...values, ...this.#update(gradients, inputs) };
      },
      { precision },
    );
    this.#part = runtime.compile(
      'DALL·E gradients of a part',
      (inputs) => {
        const { values, gradients } = this.#gradients(inputs);
        this.#sums?.add(gradients);
        return values;
      },
      { precision },
    );
    this.#apply = runtime.compile('DALL·E update', (inputs) => {
      const results = this.#update(this.#sums?.read() ?? new Map(), inputs);
      this.#sums?.clear();
      return results;
    });
    if (cluster && this.#sums) {
      const options = { cluster, sums: this.#sums, compression: state.compression };
      this.#allReduce = new AllReduce(runtime, 'DALL·E', options);
    }
    this.#applyAll = runtime.compile('DALL·E update of all workers', (inputs) =>
      this.#update(this.#allReduce?.gradients(inputs) ?? new Map(), inputs as RateInputs),
    );
    this.#clear = runtime.compile('DALL·E gradients at 0', () => {
      this.#sums?.clear();
      return {};
    });
  }

  /**
   * Makes one update.
   * @param step updates made before this one
   * @param key of the step's random numbers, int32[2]
   * @param times collects the time and memory of each op
   * @returns losses in nats per token, the global gradient norm, and metrics of the loss scales
   */
  async run(
    batch: DalleStepBatch,
    step: number,
    learningRate: number,
    key: HostTensor,
    times?: OpTime[],
  ): Promise<Results> {
    const rates: HostRates = { step: floatScalar(step), learningRate: floatScalar(learningRate) };
    if (!this.#sums) return numbers(await this.#whole({ ...this.inputs(batch, key), ...rates }, times));
    if (!this.#isCleared) await this.#clear({});
    this.#isCleared = true;
    const parts: Float64Array[] = [];
    for (const part of this.#parts(batch, key)) {
      const losses = numbers(await this.#part(part, times));
      parts.push(Float64Array.from(LOSSES, (name) => losses[name]));
    }
    const losses = await this.#sumLosses(parts);
    const results = this.#allReduce
      ? await this.#applyAll({ ...(await this.#allReduce.run()), ...rates }, times)
      : await this.#apply(rates, times);
    return { ...losses, ...numbers(results) };
  }

  /** The losses of the batch: sums over the parts of all workers, in the order of the parts. */
  async #sumLosses(parts: readonly Float64Array[]): Promise<Results> {
    const own = Float64Array.from(parts.flatMap((losses) => [...losses]));
    const all = this.#cluster ? await this.#cluster.gather(own) : [own];
    const sums: Record<string, number> = {};
    for (const losses of all) {
      for (const [i, loss] of losses.entries()) {
        const name = LOSSES[i % LOSSES.length] as string;
        sums[name] = (sums[name] ?? 0) + loss;
      }
    }
    return sums;
  }

  /** The first tensor of a step that is not finite, and the line that made it; undefined when all are finite. */
  async firstNonFinite(batch: DalleStepBatch, key: HostTensor): Promise<string | undefined> {
    if (!this.#sums) {
      const rates: HostRates = { step: floatScalar(0), learningRate: floatScalar(0) };
      return this.#whole.firstNonFinite({ ...this.inputs(batch, key), ...rates });
    }
    for (const part of this.#parts(batch, key)) {
      const found = await this.#part.firstNonFinite(part);
      if (found !== undefined) return found;
    }
    return undefined;
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
    const { accumulateSteps } = this.#config.train;
    const { textTokens } = this.inputs(batch, key);
    const all = this.#partCount;
    const count = batch.count / all;
    const first = accumulateSteps * (this.#cluster?.rank ?? 0);
    return Array.from({ length: accumulateSteps }, (_, i) => {
      const part = first + i;
      const cut = (ids: Int32Array): Int32Array =>
        ids.subarray((part * ids.length) / all, ((part + 1) * ids.length) / all);
      const [a, b] = key.data as Int32Array;
      const ownKey: HostTensor = { ...key, data: Int32Array.of((a as number) + part, b as number) };
      return {
        ...this.inputs({ count, text: cut(batch.text), image: cut(batch.image) }, ownKey),
        textTokens,
      };
    });
  }

  #gradients(inputs: PartInputs) {
    const { weights, trained, lossScale } = this.#state;
    const part =
      this.#partCount > 1
        ? { textTokens: inputs.textTokens as Scalar, share: 1 / this.#partCount }
        : undefined;
    return dalleGradients(weights, trained, this.#config, inputs, { lossScales: lossScale?.values(), part });
  }

  #update(gradients: ReadonlyMap<string, Tensor>, inputs: RateInputs): Record<string, Tensor> {
    const { optimizer, ema, lossScale } = this.#state;
    const [step, learningRate] = [inputs.step as Scalar, inputs.learningRate as Scalar];
    const scaled = lossScale?.update(gradients, step);
    const { gradientNorm, updates } = optimizer.apply(gradients, step, learningRate, scaled?.unscaling);
    ema?.update(updates, step, scaled?.unscaling);
    return { gradientNorm, ...scaled?.metrics };
  }
}
