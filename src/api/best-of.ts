// The best of many candidates by CLIP's score, as DALL·E's samples were chosen (arXiv 2102.12092, section 2.6).

import { decodeBuffer } from '../data/decode.ts';
import type { ClipModel } from '../inference/clip/clip.ts';
import type { GeneratedImage } from '../inference/dalle/pipeline.ts';
import { encodePng } from '../report/images/png.ts';
import { DataError } from '../util/errors.ts';

export interface ScoredPicture extends GeneratedImage {
  /** The cosine with the prompt. */
  readonly score: number;
}

export interface BestOf {
  readonly clip: Pick<ClipModel, 'config' | 'score' | 'checkText'>;
  /** Candidates of each prompt. */
  readonly drawn: number;
  readonly kept: number;
  /** Pictures that are drawn at a time, and at most scored at a time. */
  readonly batch: number;
  /** Whether CLIP reads the beginning of prompts that are too long for it. */
  readonly truncate: boolean;
}

/**
 * Refuses prompts that CLIP cannot score, before anything is drawn.
 * @throws DataError for one that is longer than it reads, unless `truncate` is set
 */
export function checkPrompts({ clip, truncate }: BestOf, prompts: readonly string[]): void {
  for (const prompt of prompts) {
    try {
      clip.checkText(prompt, truncate);
    } catch (cause) {
      if (!(cause instanceof DataError)) throw cause;
      const { message, where, fix } = cause;
      throw new DataError(`CLIP cannot score the prompt: ${message}`, {
        cause,
        ...(where === undefined ? {} : { where }),
        ...(fix === undefined ? {} : { fix }),
      });
    }
  }
}

/**
 * The best pictures of each prompt, the best first and equals in the order they were drawn in, as soon as the prompt's
 * last candidate is there. Holds the pictures of one batch and the best of one prompt.
 * @param pictures the candidates of the first prompt, of the second, …
 * @throws DataError when a score is not a number
 */
export async function* bestOf(
  pictures: AsyncIterable<GeneratedImage>,
  options: BestOf,
): AsyncGenerator<ScoredPicture> {
  const { drawn, kept, batch } = options;
  let best: ScoredPicture[] = [];
  let waiting: GeneratedImage[] = [];
  let seen = 0;
  for await (const picture of pictures) {
    waiting.push(picture);
    seen++;
    const isLast = seen % drawn === 0;
    // At the end of a batch too, or its pixels would be held while the next one is drawn.
    if (!isLast && seen % batch !== 0) continue;
    const scored = await scores(waiting, options);
    best = [...best, ...scored].sort((a, b) => b.score - a.score).slice(0, kept);
    best = best.map(detached);
    waiting = [];
    if (!isLast) continue;
    yield* best;
    best = [];
  }
}

/** Scores pictures of one prompt: of their files, so that mm rank says the same. */
async function scores(
  pictures: readonly GeneratedImage[],
  { clip, truncate }: BestOf,
): Promise<readonly ScoredPicture[]> {
  const { size } = clip.config.image;
  const prompt = (pictures[0] as GeneratedImage).prompt;
  const views = await Promise.all(
    pictures.map(async (picture) => {
      const png = await encodePng(picture.pixels, picture.size, picture.size);
      return (await decodeBuffer(png, { size, crop: 'center', preprocessing: 'clip' })).pixels;
    }),
  );
  const found = await clip.score(prompt, Buffer.concat(views), truncate);
  return pictures.map((picture, i) => {
    const score = found[i] as number;
    if (Number.isFinite(score)) return { ...picture, score };
    throw new DataError(`CLIP's score of a picture is ${score}`, {
      where: `${prompt.slice(0, 60)}, seed ${picture.seed}`,
      fix: 'use a CLIP whose weights are numbers',
    });
  });
}

/** With pixels of its own: as a part of the batch it would keep all of it in memory. */
const detached = (picture: ScoredPicture): ScoredPicture =>
  picture.pixels.buffer.byteLength === picture.pixels.byteLength
    ? picture
    : { ...picture, pixels: new Uint8Array(picture.pixels) };
