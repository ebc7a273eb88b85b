// Exponential moving average (EMA) of the weights, in the graph of the train step.

import type { z } from 'zod';
import type { emaSchema, Sharding } from '../../config/fields.ts';
import { eachReplica } from '../../engine/distributed/replicas.ts';
import { gatherSlices, ownSlice } from '../../engine/distributed/slices.ts';
import { atOneOrigin } from '../../engine/graph/origin.ts';
import type { Pointer } from '../../engine/native/capi.ts';
import type { Compiled, NamedTensors } from '../../engine/session/compiled.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, tf } from '../../engine/tfjs/tf.ts';
import type { SpecTree } from '../../nn/parameters.ts';
import { type WeightEntry, Weights } from '../../nn/weights.ts';
import { isSharded, SlicedWeights } from '../distributed/sliced-weights.ts';
import { memoized, type Unscaling } from './unscaling.ts';

export type EmaConfig = z.output<typeof emaSchema>;

export class Ema<S extends SpecTree> {
  /** The EMA where it is sliced. */
  readonly slices: SlicedWeights | undefined;
  readonly #weights: Weights<S> | undefined;
  readonly #source: Weights<S>;
  readonly #sourceSlices: SlicedWeights | undefined;
  readonly #config: EmaConfig;
  /** Undefined where the EMA is whole. */
  readonly #swap: Compiled<NamedTensors, NamedTensors> | undefined;
  #isShown = false;

  /**
   * @param sharding other than `none`: each replica has a slice of the EMA; otherwise the first replica has it
   * @param sourceSlices of the weights, where these are sliced too
   */
  constructor(
    runtime: Runtime,
    prefix: string,
    source: Weights<S>,
    config: EmaConfig,
    sharding: Sharding = 'none',
    sourceSlices?: SlicedWeights,
  ) {
    this.#source = source;
    this.#sourceSlices = sourceSlices;
    this.#config = config;
    if (!isSharded(runtime, sharding)) {
      this.#weights = new Weights(runtime, `${prefix}/average`, source.spec);
      return;
    }
    this.slices = new SlicedWeights(runtime, `${prefix}/average`, source.spec);
    this.#swap = runtime.compile(`swap ${prefix} and its EMA`, () => {
      eachReplica(() => atOneOrigin(() => this.#exchange()));
      return {};
    });
  }

  /** The EMA. @throws Error where it is sliced */
  get weights(): Weights<S> {
    if (!this.#weights) throw new Error('the EMA is sliced');
    return this.#weights;
  }

  /** What is evaluated: the EMA, or, where it is sliced, the weights while the EMA is shown in their place. */
  get evaluated(): Weights<S> {
    return this.slices ? this.#source : this.weights;
  }

  /** Puts a sliced EMA in the place of the weights, for evaluation, or back. All workers call it together. */
  async show(isShown: boolean): Promise<void> {
    if (isShown === this.#isShown) return;
    this.#isShown = isShown;
    await this.#swap?.({});
  }

  /** Exchanges slices of the weights with those of the EMA, and gathers these. */
  #exchange(): void {
    const slices = new Map(
      [...this.#source.entries.keys()].map((name) => [name, this.#variable(name).read()]),
    );
    const shapes = new Map([...this.#source.entries].map(([name, { spec }]) => [name, spec.shape]));
    for (const [name, whole] of gatherSlices(slices, shapes)) {
      const { variable } = this.#source.entries.get(name) as WeightEntry;
      this.#variable(name).assign(ownSlice(variable.read()));
      variable.assign(whole);
    }
  }

  /**
   * Sets the EMA to the weights; inside a compiled function, on each replica where it is sliced.
   * @param assigned assignments of the weights in the same function, by parameter name
   */
  start(assigned?: ReadonlyMap<string, Pointer>): void {
    for (const [name, { variable }] of (this.#sourceSlices ?? this.#source).entries) {
      const assignment = assigned?.get(name);
      this.#variable(name).assign(this.#own(assignment ? variable.readAfter(assignment) : variable.read()));
    }
  }

  /**
   * Moves the EMA towards the weights that `updates` leave, every `every` steps. The decay of its n-th update is
   * min(decay, (1 + n) / (10 + n)), so that the initial weights are forgotten early. Inside a compiled function.
   * @param updates update ops by parameter name
   * @param step updates made before this one, float32 scalar
   * @param unscaling of each parameter, by name, when the loss was scaled
   */
  update(updates: ReadonlyMap<string, Pointer>, step: Scalar, unscaling?: (name: string) => Unscaling): void {
    const shareAt = memoized((at: Unscaling | undefined) => this.#replacedShare(step, at));
    for (const [name, { variable, spec }] of (this.#sourceSlices ?? this.#source).entries) {
      const update = updates.get(name);
      // A frozen weight equals its EMA. Running statistics may have moved in an earlier run of the step.
      if (update === undefined && spec.trained) continue;
      const ema = this.#variable(name);
      const updated = this.#own(update ? variable.readAfter(update) : variable.read());
      ema.subtract(
        ema
          .read()
          .sub(updated)
          .mul(shareAt(unscaling?.(name))),
      );
    }
  }

  /** The part of a weight that this replica has the EMA of. */
  #own(weight: Tensor): Tensor {
    return this.slices && !this.#sourceSlices ? ownSlice(weight) : weight;
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
    return (this.slices ?? this.weights).entries.get(name)!.variable;
  }
}
