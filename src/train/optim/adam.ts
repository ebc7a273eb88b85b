// Adam with decoupled weight decay (arXiv 1711.05101), gradient clipping by the global norm, and the exponentially
// weighted average of the iterates, all in the graph of the train step.

import type { z } from 'zod';
import type { emaSchema, optimizer } from '../../config/fields.ts';
import type { Pointer } from '../../engine/native/capi.ts';
import { multiplyNoNaN } from '../../engine/ops/elementwise.ts';
import { squaredNorm } from '../../engine/ops/reductions.ts';
import { applyAdam } from '../../engine/ops/updates.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, tf } from '../../engine/tfjs/tf.ts';
import { constant, type SpecTree } from '../../nn/parameters.ts';
import { type WeightEntries, Weights } from '../../nn/weights.ts';

export type OptimizerConfig = z.output<typeof optimizer>;
export type EmaConfig = z.output<typeof emaSchema>;

/** How gradients of a scaled loss are to be taken. */
export interface Unscaling {
  /** Whether they are finite, bool: otherwise the weight, its moments and its average stay as they are. */
  readonly isApplied: Scalar;
  /** What brings them to their size. */
  readonly factor: Scalar;
  /** Updates applied before this one, float32. */
  readonly step: Scalar;
}

/** A gradient in its size, or 0 where it overflowed. */
function unscale(gradient: Tensor, { isApplied, factor }: Unscaling): Tensor {
  return multiplyNoNaN(gradient, tf.where(isApplied, factor, 0));
}

/** Calls `make` once for each argument. */
function once<Key, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const made = new Map<Key, Value>();
  return (key) => {
    const value = made.get(key) ?? make(key);
    made.set(key, value);
    return value;
  };
}

/** The same tree with zeros in place of the initial values. */
function zerosLike(entries: WeightEntries): SpecTree {
  return Object.fromEntries([...entries].map(([name, { spec }]) => [name, constant(spec.shape, 0)]));
}

export class Adam {
  /** First and second moments, named m.NAME and v.NAME. */
  readonly moments: Weights;
  readonly #entries: WeightEntries;
  readonly #config: OptimizerConfig;

  constructor(runtime: Runtime, prefix: string, entries: WeightEntries, config: OptimizerConfig) {
    this.#entries = entries;
    this.#config = config;
    this.moments = new Weights(runtime, `${prefix}/adam`, { m: zerosLike(entries), v: zerosLike(entries) });
  }

  /**
   * One update of all weights, inside a compiled function. It changes nothing when the gradient's norm is not finite.
   * @param gradients by parameter name
   * @param step updates made before this one, float32 scalar
   * @param unscaling of the parameter of a name, when the loss was scaled
   * @returns the gradient's global norm before clipping, and the update of each weight by name
   */
  apply(
    gradients: ReadonlyMap<string, Tensor>,
    step: Scalar,
    learningRate: Scalar,
    unscaling?: (name: string) => Unscaling,
  ) {
    const { epsilon, clipNorm } = this.#config;
    const unscaled = unscaling
      ? new Map([...gradients].map(([name, gradient]) => [name, unscale(gradient, unscaling(name))]))
      : gradients;
    const gradientNorm = globalNorm([...unscaled.values()]);
    const finite = tf.isFinite(gradientNorm) as Scalar;
    const clip = clipNorm === undefined ? 1 : tf.minimum(tf.scalar(clipNorm).div(gradientNorm), 1);
    const factor = tf.where(finite, clip, 0);
    const ratesOf = once((at: Unscaling | undefined) => this.#rates(step, learningRate, finite, at));
    const updates = new Map<string, Pointer>();
    for (const [name, { variable, spec }] of this.#entries) {
      const gradient = unscaled.get(name) as Tensor;
      const { weightDecay, ...rates } = ratesOf(unscaling?.(name));
      const decay = spec.decay && weightDecay ? [variable.subtract(variable.read().mul(weightDecay))] : [];
      const update = applyAdam({
        variable,
        firstMoment: this.#moment('m', name),
        secondMoment: this.#moment('v', name),
        gradient: multiplyNoNaN(gradient, factor),
        ...rates,
        epsilon,
        after: decay,
      });
      updates.set(name, update);
    }
    return { gradientNorm, updates };
  }

  /** With moments that keep all of themselves and a step of 0, an update changes nothing, to the bit. */
  #rates(step: Scalar, learningRate: Scalar, finite: Scalar, unscaling: Unscaling | undefined) {
    const { beta1, beta2, weightDecay } = this.#config;
    const made = (unscaling?.step ?? step).add(1);
    const isApplied = unscaling ? tf.logicalAnd(unscaling.isApplied, finite) : finite;
    const ifApplied = (value: number | Scalar, otherwise: number): Scalar =>
      tf.where(isApplied, value, otherwise) as Scalar;
    const rate = ifApplied(learningRate, 0);
    return {
      learningRate: rate,
      weightDecay: weightDecay > 0 ? (rate.mul(weightDecay) as Scalar) : undefined,
      beta1: ifApplied(beta1, 1),
      beta2: ifApplied(beta2, 1),
      beta1Power: tf.pow(tf.scalar(beta1), made) as Scalar,
      beta2Power: tf.pow(tf.scalar(beta2), made) as Scalar,
    };
  }

  #moment(kind: 'm' | 'v', name: string) {
    return this.moments.entries.get(`${kind}.${name}`)!.variable;
  }
}

/** √ of the sum of all squares. */
function globalNorm(tensors: readonly Tensor[]): Scalar {
  return tf.addN(tensors.map(squaredNorm)).sqrt() as Scalar;
}

/** The averaged iterates. */
export class Ema<S extends SpecTree> {
  readonly weights: Weights<S>;
  readonly #source: Weights<S>;
  readonly #config: EmaConfig;

  constructor(runtime: Runtime, prefix: string, source: Weights<S>, config: EmaConfig) {
    this.#source = source;
    this.#config = config;
    this.weights = new Weights(runtime, `${prefix}/average`, source.spec);
  }

  /** Starts the average at the weights; inside a compiled function. */
  start(): void {
    for (const [name, { variable }] of this.#source.entries) this.#average(name).assign(variable.read());
  }

  /**
   * Moves the average towards the weights as `updates` leave them, every `every` steps. Early on the average
   * forgets faster, min(decay, (1 + n) / (10 + n)) at its n-th update, so that it does not remember the start.
   * @param step updates made before this one, float32 scalar
   * @param unscaling of the parameter of a name, when the loss was scaled
   */
  update(updates: ReadonlyMap<string, Pointer>, step: Scalar, unscaling?: (name: string) => Unscaling): void {
    const forgottenAt = once((at: Unscaling | undefined) => this.#forgotten(step, at));
    for (const [name, { variable, spec }] of this.#source.entries) {
      const update = updates.get(name);
      // Frozen: the average is the weight. Running statistics may have moved in an earlier run of the step.
      if (update === undefined && spec.trained) continue;
      const average = this.#average(name);
      const towards = average.read().sub(update ? variable.readAfter(update) : variable.read());
      average.subtract(towards.mul(forgottenAt(unscaling?.(name))));
    }
  }

  /** The share of the average that this update replaces. */
  #forgotten(step: Scalar, unscaling: Unscaling | undefined): Tensor {
    const { decay, every } = this.#config;
    const made = (unscaling?.step ?? step).add(1);
    const count = made.div(every).floor();
    const isDue = count.mul(every).equal(made);
    const share = tf.minimum(count.add(1).div(count.add(10)), decay);
    const kept = tf.where(unscaling ? tf.logicalAnd(isDue, unscaling.isApplied) : isDue, share, tf.scalar(1));
    return tf.scalar(1).sub(kept);
  }

  #average(name: string) {
    return this.weights.entries.get(name)!.variable;
  }
}
