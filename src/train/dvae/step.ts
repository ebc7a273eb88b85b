// One update of the discrete VAE, from the equal parts of a batch (distributed/batch-update.ts).

import type { Cluster } from '../../cluster/cluster.ts';
import type { DvaeConfig } from '../../config/dvae.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import type { OnHost } from '../../engine/session/compiled.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Scalar, Tensor } from '../../engine/tfjs/tf.ts';
import type { DvaeArchitecture } from '../../models/dvae/architecture.ts';
import { BatchUpdate, keyOfPart, partOf, type Rates } from '../distributed/batch-update.ts';
import type { ModelState } from '../loop/state.ts';
import type { LossScale } from '../optim/loss-scale.ts';
import type { BatchGradients } from '../optim/sliced-gradients.ts';
import { type DvaeGradientInputs, dvaeGradients } from './gradients.ts';
import type { DeadCodeReviver } from './revive.ts';

/** The variables that a step changes. */
export interface DvaeStepState extends ModelState {
  readonly lossScale: LossScale | undefined;
}

export class DvaeStep {
  readonly #state: DvaeStepState;
  readonly #update: BatchUpdate<DvaeGradientInputs>;

  constructor(
    runtime: Runtime,
    architecture: DvaeArchitecture,
    { train }: Pick<DvaeConfig, 'train'>,
    state: DvaeStepState,
    {
      reviver,
      cluster,
    }: { readonly reviver?: DeadCodeReviver | undefined; readonly cluster?: Cluster | undefined },
  ) {
    this.#state = state;
    this.#update = new BatchUpdate(runtime, {
      name: 'dVAE',
      prefix: 'dvae',
      trained: state.weights.entries,
      train,
      cluster,
      gradients: (part) => {
        const { values, gradients } = dvaeGradients(architecture, state.weights, train, part, {
          lossScale: state.lossScale?.value,
          parts: this.#update.partCount,
        });
        const { logits, ...terms } = values;
        reviver?.count(logits);
        return { values: terms, gradients };
      },
      update: (gradients, rates, isFirst) => this.#apply(gradients, rates, isFirst),
    });
  }

  /**
   * Makes one update.
   * @param inputs of this worker's share of the batch
   * @param step updates made before this one
   * @returns the loss and its terms, the global gradient norm, and metrics of the loss scale
   */
  run(
    { pixels, key, ...scalars }: OnHost<DvaeGradientInputs>,
    step: number,
    learningRate: number,
  ): Promise<Readonly<Record<string, number>>> {
    const { ownParts, firstPart } = this.#update;
    const [count = 0, ...image] = pixels.shape;
    const parts = Array.from({ length: ownParts }, (_, part) => {
      const own = partOf(pixels.data as Uint8Array, part, ownParts);
      const cut: HostTensor = { dtype: 'uint8', shape: [count / ownParts, ...image], data: own };
      return { ...scalars, pixels: cut, key: keyOfPart(key, firstPart + part) };
    });
    return this.#update.run(parts, step, learningRate);
  }

  #apply(gradients: BatchGradients, rates: Rates, isFirst: boolean): Record<string, Tensor> {
    const { optimizer, ema, lossScale } = this.#state;
    const [step, learningRate] = [rates.step as Scalar, rates.learningRate as Scalar];
    const scaled = lossScale?.update(gradients, step);
    const unscaling = scaled && (() => scaled.unscaling);
    const { gradientNorm, updates } = optimizer.apply(gradients, step, learningRate, unscaling);
    if (isFirst || ema?.slices) ema?.update(updates, step, unscaling);
    return { gradientNorm, ...scaled?.metrics };
  }
}
