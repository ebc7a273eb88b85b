// Images ranked by CLIP: by their cosine similarity to a prompt (arXiv 2102.12092, section 2.6).

import { cosineSimilarity, descendingOrder, softmax } from '../measures/features.ts';
import type { EmbeddedImages } from './embed.ts';

export interface RankedImage {
  readonly file: string;
  /** Cosine similarity of image and prompt. */
  readonly similarity: number;
  /** Softmax over the images, for this prompt. */
  readonly probability: number;
}

export interface Ranking {
  readonly prompt: string;
  /** Best first. */
  readonly images: readonly RankedImage[];
}

/**
 * Ranks the images for each prompt.
 * @param texts prompts × embedding, each of length 1
 * @param scale exp(logit scale)
 */
export function rankImages(
  prompts: readonly string[],
  texts: Float32Array,
  { images, features }: Pick<EmbeddedImages<{ readonly path: string }>, 'images' | 'features'>,
  scale: number,
): Ranking[] {
  const width = texts.length / prompts.length;
  return prompts.map((prompt, p) => {
    const similarities = images.map((_, i) => cosineSimilarity(texts, p, features, i, width));
    const probabilities = softmax(similarities, scale);
    return {
      prompt,
      images: descendingOrder(similarities).map((i) => ({
        file: images[i]!.path,
        similarity: similarities[i] as number,
        probability: probabilities[i] as number,
      })),
    };
  });
}
