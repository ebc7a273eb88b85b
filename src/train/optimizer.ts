// Adam with decoupled weight decay (arXiv 1711.05101), gradient clipping by the global norm, and the exponentially
// weighted average of the iterates, all in the graph of the train step.

import type { z } from 'zod';
import type { averaging, optimizer } from '../config/fields.ts';
import type { Pointer } from '../engine/capi.ts';
import type { Runtime } from '../engine/runtime.ts';
import { type Scalar, type Tensor, tf } from '../engine/tf.ts';
import { applyAdam } from '../engine/updates.ts';
import { constant, type SpecTree } from '../nn/parameters.ts';
import { type WeightEntries, Weights } from '../nn/weights.ts';

export type OptimizerConfig = z.output<typeof optimizer>;
export type AveragingConfig = z.output<typeof averaging>;

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
   * One update of all weights, inside a compiled function.
   * @param gradients by parameter name
   * @param step updates made before this one, float32 scalar
   * @returns the gradient's global norm before clipping, and the update of each weight by name
   */
  apply(gradients: ReadonlyMap<string, Tensor>, step: Scalar, learningRate: Scalar) {
    const { beta1, beta2, epsilon, weightDecay, clipNorm } = this.#config;
    const gradientNorm = globalNorm([...gradients.values()]);
    const scale = clipNorm === undefined ? undefined : tf.minimum(tf.scalar(clipNorm).div(gradientNorm), 1);
    const beta1Power = tf.pow(tf.scalar(beta1), step.add(1)) as Scalar;
    const beta2Power = tf.pow(tf.scalar(beta2), step.add(1)) as Scalar;
    const updates = new Map<string, Pointer>();
    for (const [name, { variable, spec }] of this.#entries) {
      const gradient = gradients.get(name) as Tensor;
      const decay =
        spec.decay && weightDecay > 0
          ? [variable.subtract(variable.read().mul(learningRate.mul(weightDecay)))]
          : [];
      const update = applyAdam({
        variable,
        firstMoment: this.#moment('m', name),
        secondMoment: this.#moment('v', name),
        gradient: scale ? gradient.mul(scale) : gradient,
        learningRate,
        beta1Power,
        beta2Power,
        beta1,
        beta2,
        epsilon,
        after: decay,
      });
      updates.set(name, update);
    }
    return { gradientNorm, updates };
  }

  #moment(kind: 'm' | 'v', name: string) {
    return this.moments.entries.get(`${kind}.${name}`)!.variable;
  }
}

/** √ of the sum of all squares. */
function globalNorm(tensors: readonly Tensor[]): Scalar {
  return tf.addN(tensors.map((tensor) => tensor.square().sum())).sqrt() as Scalar;
}

/** The averaged iterates. */
export class Average<S extends SpecTree> {
  readonly weights: Weights<S>;
  readonly #source: Weights<S>;
  readonly #config: AveragingConfig;

  constructor(runtime: Runtime, prefix: string, source: Weights<S>, config: AveragingConfig) {
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
   */
  update(updates: ReadonlyMap<string, Pointer>, step: Scalar): void {
    const { decay, every } = this.#config;
    const count = step.add(1).div(every).floor();
    const isDue = count.mul(every).equal(step.add(1));
    const share = tf.minimum(count.add(1).div(count.add(10)), decay);
    const kept = tf.where(isDue, share, tf.scalar(1));
    for (const [name, { variable }] of this.#source.entries) {
      const average = this.#average(name);
      const changed = updates.get(name);
      const towards = average.read().sub(changed ? variable.readAfter(changed) : variable.read());
      average.subtract(towards.mul(tf.scalar(1).sub(kept)));
    }
  }

  #average(name: string) {
    return this.weights.entries.get(name)!.variable;
  }
}
