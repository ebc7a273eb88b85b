// Exponential moving average (EMA) of the weights, in the graph of the train step.

import type { z } from 'zod';
import type { emaSchema } from '../../config/fields.ts';
import type { Pointer } from '../../engine/native/capi.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, tf } from '../../engine/tfjs/tf.ts';
import type { SpecTree } from '../../nn/parameters.ts';
import { Weights } from '../../nn/weights.ts';
import { memoized, type Unscaling } from './unscaling.ts';

export type EmaConfig = z.output<typeof emaSchema>;

export class Ema<S extends SpecTree> {
  readonly weights: Weights<S>;
  readonly #source: Weights<S>;
  readonly #config: EmaConfig;

  constructor(runtime: Runtime, prefix: string, source: Weights<S>, config: EmaConfig) {
    this.#source = source;
    this.#config = config;
    this.weights = new Weights(runtime, `${prefix}/average`, source.spec);
  }

  /** Sets the EMA to the weights; inside a compiled function. */
  start(): void {
    for (const [name, { variable }] of this.#source.entries) this.#variable(name).assign(variable.read());
  }

  /**
   * Moves the EMA towards the weights that `updates` leave, every `every` steps. The decay of its n-th update is
   * min(decay, (1 + n) / (10 + n)), so that the initial weights are forgotten early.
   * @param updates update ops by parameter name
   * @param step updates made before this one, float32 scalar
   * @param unscaling of each parameter, by name, when the loss was scaled
   */
  update(updates: ReadonlyMap<string, Pointer>, step: Scalar, unscaling?: (name: string) => Unscaling): void {
    const shareAt = memoized((at: Unscaling | undefined) => this.#replacedShare(step, at));
    for (const [name, { variable, spec }] of this.#source.entries) {
      const update = updates.get(name);
      // A frozen weight equals its EMA. Running statistics may have moved in an earlier run of the step.
      if (update === undefined && spec.trained) continue;
      const ema = this.#variable(name);
      const difference = ema.read().sub(update ? variable.readAfter(update) : variable.read());
      ema.subtract(difference.mul(shareAt(unscaling?.(name))));
    }
  }

  /** 1 − the decay of this update; 0 where none is due. */
  #replacedShare(step: Scalar, unscaling: Unscaling | undefined): Tensor {
    const { decay, every } = this.#config;
    const made = (unscaling?.step ?? step).add(1);
    const count = made.div(every).floor();
    const isDue = count.mul(every).equal(made);
    const share = tf.minimum(count.add(1).div(count.add(10)), decay);
    const kept = tf.where(unscaling ? tf.logicalAnd(isDue, unscaling.isApplied) : isDue, share, tf.scalar(1));
    return tf.scalar(1).sub(kept);
  }

  #variable(name: string) {
    return this.weights.entries.get(name)!.variable;
  }
}
