// Zero-shot probabilities of each image over all texts, as the other programs compute them.

import type { ClipPipeline } from '../../src/inference/clip/pipeline.ts';
import { probabilitiesOf } from '../../src/inference/clip/probabilities.ts';
import { cosineSimilarity } from '../../src/inference/measures/features.ts';

/** @param images, texts features of length 1; returns images × texts, row by row */
export function clipProbabilities(
  { config: { embedding }, logits }: Pick<ClipPipeline, 'config' | 'logits'>,
  images: Float32Array,
  texts: Float32Array,
): number[] {
  const [rows, columns] = [images, texts].map(({ length }) => length / embedding) as [number, number];
  return Array.from({ length: rows }, (_, i) => [
    ...probabilitiesOf(
      Array.from({ length: columns }, (_, j) => cosineSimilarity(images, i, texts, j, embedding)),
      logits,
    ),
  ]).flat();
}
