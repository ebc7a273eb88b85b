// Inputs and outputs of every dVAE's loss.
//   B batch, G codes on a side, V vocabulary

import type { Scalar, Tensor1D, Tensor4D } from '../../engine/tfjs/tf.ts';

/** The relaxation of the codes in a training step, and the weight of their KL. */
export interface Relaxation {
  /** Key of the Gumbel noise, int32[2]. */
  readonly key: Tensor1D;
  /** Temperature τ of the Gumbel-softmax. */
  readonly temperature: Scalar;
  /** Weight β of the KL. */
  readonly klWeight: Scalar;
  /** Least ln b of the logit-Laplace likelihood; no limit when undefined. */
  readonly minLogScale?: number | undefined;
  /** Images of the batch that these are a part of; these are all without it. */
  readonly batch?: number | undefined;
}

export interface DvaeLoss {
  /** The training loss: reconstruction plus weighted KL, as the architecture defines it. */
  readonly loss: Scalar;
  /** The reconstruction term per pixel and channel: −ln p(x|z) in nats, or the error of normalized pixels. */
  readonly reconstruction: Scalar;
  /** KL divergence of an image's codes from the uniform prior, in nats, summed over the grid. */
  readonly kl: Scalar;
  /** Mean squared error of the images decoded from the relaxed codes; pixels in [0, 1]. */
  readonly mse: Scalar;
  /** Logits of the codes, BGGV. */
  readonly logits: Tensor4D;
}
