// Retrieval on held-out pairs (arXiv 2103.00020, appendix E.1): whether an image's own text is among the nearest k, and
// a text's own image.

import { cosineSimilarity } from '../inference/measures/features.ts';

export const RECALL_AT = [1, 5, 10] as const;

export interface Retrieval {
  /** Shares of the images, by k. */
  readonly imageToText: Readonly<Record<number, number>>;
  /** Shares of the texts, by k. */
  readonly textToImage: Readonly<Record<number, number>>;
}

/**
 * @param images pairs × width, of length 1
 * @param texts pairs × width, of length 1
 * @param captions of the pairs: what bears the same caption counts as its own, and stands in nobody's way
 */
export function retrieval(
  images: Float32Array,
  texts: Float32Array,
  captions: readonly string[],
  width: number,
): Retrieval {
  const recall = (from: Float32Array, to: Float32Array): Record<number, number> => {
    const ranks = captions.map((caption, i) => {
      const others = captions.map((other, j) => ({
        isOwn: other === caption,
        near: cosineSimilarity(from, i, to, j, width),
      }));
      const own = Math.max(...others.filter(({ isOwn }) => isOwn).map(({ near }) => near));
      return others.filter(({ isOwn, near }) => !isOwn && near >= own).length;
    });
    return Object.fromEntries(
      RECALL_AT.map((k) => [k, ranks.filter((rank) => rank < k).length / captions.length]),
    );
  };
  return { imageToText: recall(images, texts), textToImage: recall(texts, images) };
}
