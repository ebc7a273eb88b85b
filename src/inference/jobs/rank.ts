// Images ranked by CLIP: by their cosine similarity to a prompt (arXiv 2102.12092, section 2.6).

import { type Logits, probabilitiesOf } from '../clip/probabilities.ts';
import { cosineSimilarity, descendingOrder } from '../measures/features.ts';
import type { EmbeddedImages } from './embed.ts';

export interface RankedImage {
  readonly file: string;
  /** Cosine similarity of image and prompt. */
  readonly similarity: number;
  /** Softmax over the images, for this prompt; of a sigmoid CLIP, that the image and the prompt belong together. */
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
 * @param logits of the CLIP
 */
export function rankImages(
  prompts: readonly string[],
  texts: Float32Array,
  { images, features }: Pick<EmbeddedImages<{ readonly path: string }>, 'images' | 'features'>,
  logits: Logits,
): Ranking[] {
  const width = texts.length / prompts.length;
  return prompts.map((prompt, p) => {
    const similarities = images.map((_, i) => cosineSimilarity(texts, p, features, i, width));
    const probabilities = probabilitiesOf(similarities, logits);
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
