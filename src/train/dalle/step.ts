// One update of the joint Transformer as compiled functions: from a whole batch at once, or from parts of it whose
// gradients are summed up in the session, and over the workers where there are several.

import type { Cluster } from '../../cluster/cluster.ts';
import type { DalleConfig } from '../../config/dalle.ts';
import { floatScalar, type HostTensor } from '../../engine/native/tensor.ts';
import type { Compiled } from '../../engine/session/compiled.ts';
import type { OpTime } from '../../engine/session/op-times.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Scalar, Tensor, Tensor1D, Tensor2D } from '../../engine/tfjs/tf.ts';
import { imageLength } from '../../models/dalle/config.ts';
import { countTextTokens, dalleLoss } from '../../models/dalle/loss.ts';
import type { dalleSpec } from '../../models/dalle/model.ts';
import { unflatten } from '../../nn/parameters.ts';
import type { WeightEntries, Weights } from '../../nn/weights.ts';
import { GradientExchange } from '../distributed/all-reduce.ts';
import type { PowerSgd } from '../distributed/power-sgd.ts';
import { numbers } from '../loop/scalars.ts';
import { GradientAccumulator } from '../optim/accumulate.ts';
import type { Adam, Ema } from '../optim/adam.ts';
import type { BlockLossScale } from '../optim/block-loss-scale.ts';
import { valueAndGradients } from '../optim/gradients.ts';

type Spec = ReturnType<typeof dalleSpec>;

/** What a step changes. */
export interface StepState {
  readonly weights: Weights<Spec>;
  /** Those of the weights that are trained. */
  readonly trained: WeightEntries;
  readonly optimizer: Adam;
  readonly ema: Ema<Spec> | undefined;
  readonly lossScale: BlockLossScale | undefined;
  /** Of the gradients that workers exchange. */
  readonly compression?: PowerSgd | undefined;
}

/** Captioned images as tokens, count × textLength and count × grid². */
export interface StepBatch {
  readonly count: number;
  readonly text: Int32Array;
  readonly image: Int32Array;
}

type Results = Readonly<Record<string, number>>;
type Rates = { readonly step: HostTensor; readonly learningRate: HostTensor };
type PartInputs = Record<'text' | 'image' | 'key' | 'textTokens', Tensor>;
type RateInputs = Record<'step' | 'learningRate', Tensor>;
type Losses = Record<'loss' | 'textLoss' | 'imageLoss', Scalar>;

const LOSSES = ['loss', 'textLoss', 'imageLoss'] as const;

export class DalleStep {
  readonly #config: DalleConfig;
  readonly #state: StepState;
  readonly #cluster: Cluster | undefined;
  /** Parts of a batch, of all workers. */
  readonly #partCount: number;
  readonly #whole: Compiled<PartInputs & RateInputs, Record<string, Tensor>>;
  readonly #part: Compiled<PartInputs, Losses>;
  readonly #apply: Compiled<RateInputs, Record<string, Tensor>>;
  /** With the workers' sums in place of this one's. */
  readonly #applyAll: Compiled<Record<string, Tensor>, Record<string, Tensor>>;
  readonly #exchange: GradientExchange | undefined;
  /** Of the gradients of a batch's parts, 0 between updates. */
  readonly #sums: GradientAccumulator | undefined;
  readonly #clear: Compiled<Record<never, Tensor>, Record<never, Tensor>>;
  #isCleared = false;

  constructor(runtime: Runtime, config: DalleConfig, state: StepState, cluster?: Cluster) {
    this.#config = config;
    this.#state = state;
    this.#cluster = cluster;
    const { precision, accumulateSteps: accumulate } = config.train;
    this.#partCount = accumulate * (cluster?.workers ?? 1);
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
      this.#exchange = new GradientExchange(runtime, 'DALL·E', options);
    }
    this.#applyAll = runtime.compile('DALL·E update of all workers', (inputs) =>
      this.#update(this.#exchange?.gradients(inputs) ?? new Map(), inputs as RateInputs),
    );
    this.#clear = runtime.compile('DALL·E gradients at 0', () => {
      this.#sums?.clear();
      return {};
    });
  }

  /**
   * One update.
   * @param step updates made before this one
   * @param key of the step's random numbers, int32[2]
   * @param times collects the time and memory of each op
   * @returns losses in nats per token, the gradient's norm, and what the gradient scales say
   */
  async run(
    batch: StepBatch,
    step: number,
    learningRate: number,
    key: HostTensor,
    times?: OpTime[],
  ): Promise<Results> {
    const rates: Rates = { step: floatScalar(step), learningRate: floatScalar(learningRate) };
    if (!this.#sums) return numbers(await this.#whole({ ...this.inputs(batch, key), ...rates }, times));
    if (!this.#isCleared) await this.#clear({});
    this.#isCleared = true;
    const parts: Float64Array[] = [];
    for (const part of this.#parts(batch, key)) {
      const losses = numbers(await this.#part(part, times));
      parts.push(Float64Array.from(LOSSES, (name) => losses[name]));
    }
    const losses = await this.#lossesOfAll(parts);
    const results = this.#exchange
      ? await this.#applyAll({ ...(await this.#exchange.run()), ...rates }, times)
      : await this.#apply(rates, times);
    return { ...losses, ...numbers(results) };
  }

  /** Sums up in the order of the parts. */
  async #lossesOfAll(parts: readonly Float64Array[]): Promise<Results> {
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

  /** What is wrong with a step whose results are not finite: the first tensor that was not, and who made it. */
  async firstNonFinite(batch: StepBatch, key: HostTensor): Promise<string | undefined> {
    if (!this.#sums) {
      const rates: Rates = { step: floatScalar(0), learningRate: floatScalar(0) };
      return this.#whole.firstNonFinite({ ...this.inputs(batch, key), ...rates });
    }
    for (const part of this.#parts(batch, key)) {
      const found = await this.#part.firstNonFinite(part);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  inputs({ count, text, image }: StepBatch, key: HostTensor) {
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

  /** This worker's of the equal parts of the batch; the text tokens that its losses are means over are those of the whole. */
  #parts(batch: StepBatch, key: HostTensor) {
    const { accumulateSteps: accumulate } = this.#config.train;
    const { textTokens } = this.inputs(batch, key);
    const all = this.#partCount;
    const count = batch.count / all;
    const first = accumulate * (this.#cluster?.rank ?? 0);
    return Array.from({ length: accumulate }, (_, i) => {
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

  #gradients({ text, image, key, textTokens }: PartInputs) {
    const { model, train } = this.#config;
    const { weights, trained, lossScale } = this.#state;
    const training = {
      recompute: train.recompute,
      dropout: train.dropout,
      key: key as Tensor1D,
      gradientScales: lossScale?.values(),
    };
    const part =
      this.#partCount > 1 ? { textTokens: textTokens as Scalar, share: 1 / this.#partCount } : undefined;
    // Read out here: what is made within a gradient ends with it, and the average reads them again.
    const frozen = new Map(
      [...weights.entries].flatMap(([name, { variable }]) =>
        trained.has(name) ? [] : [[name, variable.read()]],
      ),
    );
    return valueAndGradients(trained, (read) => {
      const p = unflatten(weights.spec, (name) => frozen.get(name) ?? read(name));
      const options = { training, part };
      return { ...dalleLoss(p, text as Tensor2D, image as Tensor2D, model, train.textLossWeight, options) };
    });
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
