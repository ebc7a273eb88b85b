// The images that training visits, in their turn: a list in memory, shuffled as a whole, or shards (shards/images.ts).

import type { CaptionedImage } from './image.ts';
import { type BatchPosition, FullShuffle, turns } from './order.ts';

/** An image in its turn. */
export interface ImageTurn {
  /** The images around it in the order of the source; undefined where one is not trained on. */
  readonly images: readonly (CaptionedImage | undefined)[];
  /** Its index in `images`. */
  readonly index: number;
  readonly epoch: number;
  /** Position in the data after it. */
  readonly position: BatchPosition;
}

export interface ImageSet {
  /** Images; in shards, those that are not trained on included. */
  readonly count: number;
  /** The source, for messages. */
  readonly path: string;
  /** Endless turns, the same for the same seed, from whatever position they start. */
  turns(seed: number, position?: BatchPosition): AsyncIterable<ImageTurn> | Iterable<ImageTurn>;
}

/** A set; an array is one in memory, shuffled as a whole. */
export type Images = ImageSet | readonly CaptionedImage[];

/** Images in memory. */
export const imageList = (images: readonly CaptionedImage[]): ImageSet => ({
  count: images.length,
  path: images[0]?.path ?? '',
  *turns(seed, position) {
    for (const turn of turns(new FullShuffle(images.length, seed), position)) yield { ...turn, images };
  },
});
