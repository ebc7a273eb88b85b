// Probabilities of cosines, as the loss that a CLIP was trained with makes them: a softmax over what is compared
// (arXiv 2103.00020), or the sigmoid of each pair for itself (SigLIP, arXiv 2303.15343).

import type { ClipModelConfig } from '../../config/clip.ts';
import { softmax } from '../measures/features.ts';

export interface Logits {
  readonly loss: ClipModelConfig['loss'];
  /** exp(logit scale): the factor on cosines. */
  readonly scale: number;
  /** Added after that, before a sigmoid. */
  readonly bias: number;
}

/** Probabilities of cosines that are compared with each other; those of `sigmoid` have no common sum. */
export const probabilitiesOf = (cosines: ArrayLike<number>, { loss, scale, bias }: Logits): Float64Array =>
  loss === 'softmax'
    ? softmax(cosines, scale)
    : Float64Array.from(cosines, (cosine) => 1 / (1 + Math.exp(-(cosine * scale + bias))));
