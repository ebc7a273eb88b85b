// From the width of a tower to CLIP's embedding: a matrix as published, one with a bias or nothing as in SigLIP.
//   B batch, D width, E embedding

import type { ClipImageConfig, ClipTextConfig } from '../../config/clip.ts';
import type { Tensor, Tensor2D } from '../../engine/tfjs/tf.ts';
import { linear } from '../../nn/linear.ts';
import { constant, normal, type ParameterSpec, type Parameters } from '../../nn/parameters.ts';

export type ProjectionSpec = {
  readonly projection: ParameterSpec | undefined;
  readonly projection_bias: ParameterSpec | undefined;
};

export const projectionSpec = (
  { projection, width }: Pick<ClipImageConfig | ClipTextConfig, 'projection' | 'width'>,
  embedding: number,
): ProjectionSpec => ({
  projection: projection === 'none' ? undefined : normal([width, embedding], width ** -0.5),
  projection_bias: projection === 'affine' ? constant([embedding], 0) : undefined,
});

/** x_BD → BE */
export const project = (p: Parameters<ProjectionSpec>, x_BD: Tensor): Tensor2D =>
  (p.projection ? linear({ weight: p.projection, bias: p.projection_bias }, x_BD) : x_BD) as Tensor2D;
