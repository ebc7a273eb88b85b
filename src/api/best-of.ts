// The best of many candidates by CLIP's score, as DALL·E's samples were chosen (arXiv 2102.12092, section 2.6).

import { decodeBuffer } from '../data/decode.ts';
import type { ClipPipeline } from '../inference/clip/pipeline.ts';
import type { GeneratedImage } from '../inference/dalle/pipeline.ts';
import { encodePng } from '../report/images/png.ts';
import { DataError } from '../util/errors.ts';

export interface ScoredImage extends GeneratedImage {
  /** The cosine with the prompt. */
  readonly score: number;
}

export interface BestOf {
  readonly clip: Pick<ClipPipeline, 'config' | 'score' | 'checkText'>;
  /** Candidates of each prompt. */
  readonly drawn: number;
  readonly kept: number;
  /** Images that are drawn at a time, and at most scored at a time. */
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
 * The best images of each prompt, the best first and equals in the order they were drawn in, as soon as the prompt's
 * last candidate is there. Holds the images of one batch and the best of one prompt.
 * @param images the candidates of the first prompt, of the second, …
 * @throws DataError when a score is not a number
 */
export async function* bestOf(
  images: AsyncIterable<GeneratedImage>,
  options: BestOf,
): AsyncGenerator<ScoredImage> {
  const { drawn, kept, batch } = options;
  let best: ScoredImage[] = [];
  let waiting: GeneratedImage[] = [];
  let seen = 0;
  for await (const image of images) {
    waiting.push(image);
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

/** Scores images of one prompt: of their files, so that mm rank says the same. */
async function scores(
  images: readonly GeneratedImage[],
  { clip, truncate }: BestOf,
): Promise<readonly ScoredImage[]> {
  const { size } = clip.config.image;
  const prompt = (images[0] as GeneratedImage).prompt;
  const views = await Promise.all(
    images.map(async (image) => {
      const png = await encodePng(image.pixels, image.size, image.size);
      return (await decodeBuffer(png, { size, crop: 'center', preprocessing: 'clip' })).pixels;
    }),
  );
  const found = await clip.score(prompt, Buffer.concat(views), truncate);
  return images.map((image, i) => {
    const score = found[i] as number;
    if (Number.isFinite(score)) return { ...image, score };
    throw new DataError(`CLIP's score of an image is ${score}`, {
      where: `${prompt.slice(0, 60)}, seed ${image.seed}`,
      fix: 'use a CLIP whose weights are numbers',
    });
  });
}

/** With pixels of its own: as a part of the batch it would keep all of it in memory. */
const detached = (image: ScoredImage): ScoredImage =>
  image.pixels.buffer.byteLength === image.pixels.byteLength
    ? image
    : { ...image, pixels: new Uint8Array(image.pixels) };
