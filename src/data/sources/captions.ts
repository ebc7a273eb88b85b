// Captions as text: one a line. Of several captions of an image, each epoch picks one.

import { RandomStream } from '../../util/random.ts';

/** The lines of a text that are not blank, trimmed: the captions of a caption file. */
export const textLines = (text: string): string[] =>
  text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

/**
 * The caption of an image in an epoch: uniform over its captions, the same for the same seed, epoch and key.
 * @param captions at least one
 */
export function pickCaption(captions: readonly string[], seed: number, epoch: number, key: string): string {
  const index =
    captions.length > 1 ? new RandomStream(seed, 'which caption', epoch, key).integer(captions.length) : 0;
  return captions[index] as string;
}
