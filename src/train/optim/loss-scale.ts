// Dynamic loss scaling (arXiv 1710.03740, section 3.2): float16 loses small gradients, so the loss is multiplied by a
// scale before it is differentiated and the gradients are divided by it. The scale doubles after `growEvery` updates
// without overflow; a gradient that is not finite skips the update and halves the scale. All in the train step's graph.

import type { z } from 'zod';
import type { lossScale, precision } from '../../config/fields.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, tf } from '../../engine/tfjs/tf.ts';
import { constant } from '../../nn/parameters.ts';
import { Weights } from '../../nn/weights.ts';
import { DataError } from '../../util/errors.ts';
import { resumeAdvice } from './divergence.ts';
import { type BatchGradients, sumsOf } from './sliced-gradients.ts';
import type { Unscaling } from './unscaling.ts';

export type LossScaleConfig = z.output<typeof lossScale>;

/** At a lower scale, gradients that overflow do so because of the model. */
const MIN_SCALE = 2 ** -10;
/** A higher scale gains nothing: float16's smallest numbers are 2⁻²⁴. */
const MAX_SCALE = 2 ** 32;

const stateSpec = (start: number) => ({
  lossScale: {
    value: constant([], start),
    /** Finite updates since the scale last changed. */
    streak: constant([], 0),
    /** Updates skipped so far. */
    skipped: constant([], 0),
  },
});

export class LossScale {
  readonly state: Weights<ReturnType<typeof stateSpec>>;
  readonly #growEvery: number;

  constructor(runtime: Runtime, prefix: string, { start, growEvery }: LossScaleConfig) {
    this.#growEvery = growEvery;
    this.state = new Weights(runtime, `${prefix}/loss scale`, stateSpec(start));
  }

  /** Multiplies the loss before it is differentiated; inside a compiled function, as `update`. */
  get value(): Scalar {
    return this.state.read().lossScale.value as Scalar;
  }

  /**
   * Checks the gradients of the scaled loss, and sets the scale for the next step.
   * @param step updates tried before this one, float32 scalar
   * @returns the unscaling of the gradients for the optimizer, and metrics
   */
  update(gradients: BatchGradients, step: Scalar) {
    const { value, streak, skipped } = this.state.read().lossScale;
    const areGradientsFinite = areFinite([...magnitudes(gradients).values()]);
    const grown = tf.greaterEqual(tf.add(streak, 1), this.#growEvery);
    const doubled = tf.minimum(tf.mul(value, 2), MAX_SCALE);
    const afterFinite = tf.where(grown, doubled, value);
    const count = tf.where(areGradientsFinite, skipped, tf.add(skipped, 1));
    this.#assign('value', tf.where(areGradientsFinite, afterFinite, tf.div(value, 2)));
    this.#assign(
      'streak',
      tf.where(tf.logicalAnd(areGradientsFinite, tf.logicalNot(grown)), tf.add(streak, 1), 0),
    );
    this.#assign('skipped', count);
    const unscaling: Unscaling = {
      isApplied: areGradientsFinite as Scalar,
      factor: tf.div(1, value) as Scalar,
      step: tf.sub(step, skipped) as Scalar,
    };
    return { unscaling, metrics: { lossScale: value as Scalar, skippedUpdates: count as Scalar } };
  }

  #assign(name: 'value' | 'streak' | 'skipped', value: Tensor): void {
    this.state.entries.get(`lossScale.${name}`)!.variable.assign(value);
  }
}

/** A loss scale where the precision needs one: bfloat16 has the range of float32. */
export const lossScaleFor = (
  runtime: Runtime,
  prefix: string,
  train: { readonly precision: z.output<typeof precision>; readonly lossScale: LossScaleConfig },
): LossScale | undefined =>
  train.precision === 'float16' ? new LossScale(runtime, prefix, train.lossScale) : undefined;

/**
 * Ends a run whose updates are all skipped.
 * @param scale undefined without loss scaling
 * @param step updates made
 * @param run the run folder
 * @throws DataError
 */
export function assertLossScale(scale: number | undefined, step: number, run: string): void {
  if (scale === undefined || scale > MIN_SCALE) return;
  throw new DataError(`the gradients overflow float16 at step ${step}, at a loss scale of ${scale} too`, {
    code: 'E_LOSS_SCALE',
    where: run,
    fix: `${resumeAdvice(run)} with train.precision bfloat16 or float32, or a lower train.optimizer.learningRate.peak`,
  });
}

/** Σ |x| of each gradient. */
export const magnitudes = (gradients: BatchGradients): ReadonlyMap<string, Scalar> =>
  sumsOf(gradients, (gradient) => tf.sum(tf.abs(gradient)));

/** Whether all elements are finite, bool: a sum of magnitudes is not finite if one of them is not. */
export const areFinite = (sums: readonly Scalar[]): Tensor => tf.isFinite(tf.addN([...sums]));
