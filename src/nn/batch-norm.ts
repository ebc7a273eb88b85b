// Batch normalization over all but the last axis (arXiv 1502.03167).

import { normalizeByBatch } from '../engine/ops/batch-norm.ts';
import { type Tensor, tf } from '../engine/tfjs/tf.ts';
import { constant, type ParameterSpec, type Parameters, statistic } from './parameters.ts';

const EPSILON = 1e-5;
/** Share of the batch's statistics in the running ones: PyTorch's default. */
const MOMENTUM = 0.1;

export type BatchNormSpec = {
  readonly gain: ParameterSpec;
  readonly bias: ParameterSpec;
  readonly mean: ParameterSpec;
  readonly variance: ParameterSpec;
};
export type BatchNormParameters = Parameters<BatchNormSpec>;

/** Gain, bias, running mean and running variance, one of each per channel. */
export const batchNormSpec = (width: number, gain = 1) =>
  ({
    gain: constant([width], gain),
    bias: constant([width], 0),
    mean: statistic([width], 0),
    variance: statistic([width], 1),
  }) satisfies BatchNormSpec;

/**
 * Batch statistics of a training step. Layers that get it normalize by the batch instead of the running statistics, and
 * record here their shares in the running ones.
 */
export class BatchStatistics {
  readonly #shares = new Map<Tensor, Tensor>();

  /** Records a layer's batch statistics. @param variance the unbiased estimate, as in PyTorch */
  observe(p: BatchNormParameters, mean: Tensor, variance: Tensor): void {
    // Both outlive the gradient's scope: the running statistics move after it.
    const record = (running: Tensor, seen: Tensor) =>
      this.#shares.set(tf.keep(running), tf.keep(tf.mul(seen, MOMENTUM)));
    record(p.mean, mean);
    record(p.variance, variance);
  }

  /** The batch's share of a running statistic; undefined when no layer recorded it. */
  share(running: Tensor): Tensor | undefined {
    return this.#shares.get(running);
  }
}

/** A running statistic after a batch. @param share of the batch, see `BatchStatistics.share` */
export const movedTowards = (running: Tensor, share: Tensor): Tensor =>
  tf.add(tf.mul(running, 1 - MOMENTUM), share);

/**
 * (x − mean) / √(variance + 1e-5) · gain + bias for each channel.
 * @param x [B, H, W, C]
 * @param statistics in training: normalizes by the batch and records its statistics
 * @returns the shape of x
 */
export function batchNorm(p: BatchNormParameters, x: Tensor, statistics?: BatchStatistics): Tensor {
  if (!statistics) {
    const scale = tf.mul(tf.rsqrt(tf.add(p.variance, EPSILON)), p.gain);
    return tf.add(tf.mul(x, scale), tf.sub(p.bias, tf.mul(p.mean, scale)));
  }
  return normalizeByBatch(x, p.gain, p.bias, EPSILON, (mean, variance) =>
    statistics.observe(p, mean, variance),
  );
}
