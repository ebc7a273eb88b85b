// Images with several captions: a line each in one text, of which every epoch draws one.

import { RandomStream } from '../../util/random.ts';

export interface Captioned {
  readonly caption: string | undefined;
  readonly others?: readonly string[];
}

/** Captions as an image has them: the first, and the others where there are any. */
export function captioned(lines: readonly string[]): Captioned {
  const [caption, ...others] = lines;
  return others.length > 0 ? { caption, others } : { caption };
}

/** All captions of an image. */
export const captionsOf = ({ caption, others = [] }: Captioned): string[] =>
  caption === undefined ? [] : [caption, ...others];

/** The caption that an epoch sees of an image: any of several, as likely as the others, and the same for the same seed. */
export function pickCaption(captions: readonly string[], seed: number, epoch: number, key: string): string {
  const index =
    captions.length > 1 ? new RandomStream(seed, 'which caption', epoch, key).integer(captions.length) : 0;
  return captions[index] as string;
}
