// Retrieval on held-out pairs (arXiv 2103.00020, appendix E.1): recall@k, the share of images whose own text is among
// the k closest, and of texts whose own image is.

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
 * @param captions of the pairs: every pair with the same caption counts as a hit, and none as a miss
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
        similarity: cosineSimilarity(from, i, to, j, width),
      }));
      const own = Math.max(...others.filter(({ isOwn }) => isOwn).map(({ similarity }) => similarity));
      return others.filter(({ isOwn, similarity }) => !isOwn && similarity >= own).length;
    });
    return Object.fromEntries(
      RECALL_AT.map((k) => [k, ranks.filter((rank) => rank < k).length / captions.length]),
    );
  };
  return { imageToText: recall(images, texts), textToImage: recall(texts, images) };
}
