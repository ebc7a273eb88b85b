// The best of many candidates by CLIP's score, as DALL·E's samples were picked (arXiv 2102.12092, section 2.6).

import { clipInput } from '../data/clip-input.ts';
import { decodeBuffer } from '../data/decode.ts';
import type { ClipPipeline } from '../inference/clip/pipeline.ts';
import type { GeneratedImage } from '../inference/sampler/pipeline.ts';
import { encodePng } from '../report/images/png.ts';
import { DataError } from '../util/errors.ts';

export interface ScoredImage extends GeneratedImage {
  /** Cosine similarity of image and prompt. */
  readonly score: number;
}

export interface BestOf {
  readonly clip: Pick<ClipPipeline, 'config' | 'score' | 'checkText'>;
  /** Candidates of each prompt. */
  readonly candidates: number;
  /** Candidates of each prompt that are yielded. */
  readonly kept: number;
  /** Images sampled at a time, and at most scored at a time. */
  readonly batch: number;
  /** Whether CLIP reads only the beginning of prompts that are too long for it. */
  readonly truncate: boolean;
}

/**
 * Checks that CLIP can score the prompts, before anything is sampled.
 * @throws DataError for a prompt longer than CLIP reads, unless `truncate` is set
 */
export function checkPrompts({ clip, truncate }: BestOf, prompts: readonly string[]): void {
  for (const prompt of prompts) {
    try {
      clip.checkText(prompt, truncate);
    } catch (cause) {
      if (!(cause instanceof DataError)) throw cause;
      const { message, where, fix, code = 'E_PROMPT_UNSCORABLE' } = cause;
      throw new DataError(`CLIP cannot score the prompt: ${message}`, {
        code,
        cause,
        ...(where !== undefined && { where }),
        ...(fix !== undefined && { fix }),
      });
    }
  }
}

/**
 * The best images of each prompt, in order of their scores, equal ones in the order of their seeds; yielded as soon as
 * the prompt's last candidate is there. Holds the images of one batch and the best of one prompt.
 * @param images all candidates of the first prompt, then of the second, …
 * @throws DataError when a score is not finite
 */
export async function* bestOf(
  images: AsyncIterable<GeneratedImage>,
  options: BestOf,
): AsyncGenerator<ScoredImage> {
  const { candidates, kept, batch } = options;
  let best: ScoredImage[] = [];
  let unscored: GeneratedImage[] = [];
  let seen = 0;
  for await (const image of images) {
    unscored.push(image);
    seen++;
    const isLast = seen % candidates === 0;
    // Scored at the end of a batch too: the next batch is sampled without the pixels of this one in memory.
    if (!isLast && seen % batch !== 0) continue;
    const scored = await score(unscored, options);
    best = [...best, ...scored].sort((a, b) => b.score - a.score).slice(0, kept);
    best = best.map(detached);
    unscored = [];
    if (!isLast) continue;
    yield* best;
    best = [];
  }
}

/** Scores images of one prompt, each by way of its PNG file, so that mm rank gives the same score. */
async function score(
  images: readonly GeneratedImage[],
  { clip, truncate }: BestOf,
): Promise<readonly ScoredImage[]> {
  const input = clipInput(clip.config.image);
  const prompt = (images[0] as GeneratedImage).prompt;
  const decoded = await Promise.all(
    images.map(async (image) => {
      const png = await encodePng(image.pixels, image.size, image.size);
      return (await decodeBuffer(png, input)).pixels;
    }),
  );
  const scores = await clip.score(prompt, Buffer.concat(decoded), truncate);
  return images.map((image, i) => {
    const score = scores[i] as number;
    if (Number.isFinite(score)) return { ...image, score };
    throw new DataError(`CLIP's score of an image is ${score}`, {
      code: 'E_SCORE_NOT_FINITE',
      where: `${prompt.slice(0, 60)}, seed ${image.seed}`,
      fix: 'use a CLIP with finite weights',
    });
  });
}

/** The image with a copy of its pixels, where they are a view of the whole batch's, which would stay in memory. */
const detached = (image: ScoredImage): ScoredImage =>
  image.pixels.buffer.byteLength === image.pixels.byteLength
    ? image
    : { ...image, pixels: new Uint8Array(image.pixels) };
