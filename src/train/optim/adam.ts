// Adam with decoupled weight decay (AdamW, arXiv 1711.05101) and gradient clipping by the global norm, in the graph of
// the train step.

import type { z } from 'zod';
import type { optimizer } from '../../config/fields.ts';
import type { Pointer } from '../../engine/native/capi.ts';
import { multiplyNoNaN } from '../../engine/ops/elementwise.ts';
import { squaredNorm } from '../../engine/ops/reductions.ts';
import { applyAdam } from '../../engine/ops/updates.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, tf } from '../../engine/tfjs/tf.ts';
import { constant, type SpecTree } from '../../nn/parameters.ts';
import { type WeightEntries, Weights } from '../../nn/weights.ts';
import { memoized, type Unscaling } from './unscaling.ts';

export type OptimizerConfig = z.output<typeof optimizer>;

/** The gradient of the unscaled loss; 0 where it overflowed. */
function unscale(gradient: Tensor, { isApplied, factor }: Unscaling): Tensor {
  return multiplyNoNaN(gradient, tf.where(isApplied, factor, 0));
}

/** Specs of the same names and shapes, initialized with zeros. */
function zerosLike(entries: WeightEntries): SpecTree {
  return Object.fromEntries([...entries].map(([name, { spec }]) => [name, constant(spec.shape, 0)]));
}

export class Adam {
  /** First and second moments of the gradients, named m.NAME and v.NAME. */
  readonly moments: Weights;
  readonly #entries: WeightEntries;
  readonly #config: OptimizerConfig;

  constructor(runtime: Runtime, prefix: string, entries: WeightEntries, config: OptimizerConfig) {
    this.#entries = entries;
    this.#config = config;
    this.moments = new Weights(runtime, `${prefix}/adam`, { m: zerosLike(entries), v: zerosLike(entries) });
  }

  /**
   * Updates all weights; inside a compiled function. Nothing changes when the gradient's norm is not finite.
   * @param gradients by parameter name
   * @param step updates made before this one, float32 scalar
   * @param unscaling of each parameter, by name, when the loss was scaled
   * @returns the global norm of the gradients before clipping, and the update op of each weight by name
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
    const ratesOf = memoized((at: Unscaling | undefined) => this.#rates(step, learningRate, finite, at));
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

  /** An update that is not applied has decays of 1 and a learning rate of 0, which change nothing, bit for bit. */
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

/** √(Σ x²) over all elements of all tensors. */
function globalNorm(tensors: readonly Tensor[]): Scalar {
  return tf.addN(tensors.map(squaredNorm)).sqrt() as Scalar;
}
