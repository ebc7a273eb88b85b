// What every discrete VAE's loss takes and gives.
//   B batch, G codes on a side, V vocabulary

import type { Scalar, Tensor1D, Tensor4D } from '../../engine/tfjs/tf.ts';

/** How codes are relaxed for a training step, and what their KL weighs. */
export interface Relaxation {
  /** Draws the Gumbel noise: int32[2]. */
  readonly key: Tensor1D;
  /** τ */
  readonly temperature: Scalar;
  /** β */
  readonly klWeight: Scalar;
  /** Least ln b of the logit-Laplace likelihood, where there is one. */
  readonly minLogScale?: number | undefined;
}

export interface DvaeLoss {
  /** What is minimised: reconstruction and weighted KL, as the architecture adds them. */
  readonly loss: Scalar;
  /** The reconstruction term, unweighted, per pixel and channel: −ln p(x|z) in nats, or the error of normalized pixels. */
  readonly reconstruction: Scalar;
  /** KL of an image's codes to the uniform prior, in nats, summed over the grid. */
  readonly kl: Scalar;
  /** Mean squared error of the images decoded from the relaxed codes; pixels in [0, 1]. */
  readonly mse: Scalar;
  /** Of the codes, BGGV. */
  readonly logits: Tensor4D;
}
