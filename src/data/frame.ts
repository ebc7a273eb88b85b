// Which part of an image becomes the square that a model reads, and at which size the image is reduced for it.

import type { JpegRatio } from '../engine/session/jpeg.ts';
import type { RandomStream } from '../util/random.ts';

export type Crop = 'published' | 'random' | 'center' | 'none' | 'pad';

export interface FrameOptions {
  /** Pixels on a side of the result. */
  readonly size: number;
  /**
   * A random square, the central square, the whole image squeezed into a square (`none`), or the whole image with
   * padding beside it, its longer side reduced to `size` (`pad`). `published` is the random
   * crop of the dVAE's training (arXiv 2102.12092, listing 1): a random square of the whole shorter side, reduced to
   * 9/8 to 12/8 of `size`, and a random square of `size` of it.
   */
  readonly crop: Crop;
  /** Smallest side of a random square, as a share of the shorter side (default 0.4). */
  readonly cropScale?: number;
  /** Picks a random square; required for `random` and `published`. */
  readonly random?: RandomStream;
  /**
   * The reduction before the crop: Lanczos to rounded sides as in openai/DALL-E (the default), or bicubic to sides
   * rounded down as in openai/CLIP.
   */
  readonly preprocessing?: 'dall-e' | 'clip';
}

/** Pixels. */
interface Size {
  readonly width: number;
  readonly height: number;
}

/** Half, rounded to even as in torchvision's centre crop, so that codes equal those of the published preprocessing. */
const halfToEven = (extra: number): number => (extra % 4 === 3 ? (extra + 1) / 2 : Math.floor(extra / 2));

/** To the closest integer, halves to the even one, as Python rounds. */
const roundToEven = (x: number): number => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

export interface Frame {
  /** The whole image, reduced. */
  readonly width: number;
  readonly height: number;
  /** Offset of the square in it. */
  readonly left: number;
  readonly top: number;
}

/**
 * The size of the whole image at which the square has `size` pixels on a side, and the offset of the square. With the
 * reduction before the crop, the decoder does most of it.
 */
export function frameFor(stored: Size, options: FrameOptions): Frame {
  const { size, crop, cropScale = 0.4, random } = options;
  if (crop === 'none') return { width: size, height: size, left: 0, top: 0 };
  if (crop === 'pad') return paddedFrame(stored, size);
  const shorter = Math.min(stored.width, stored.height);
  const whole = options.preprocessing === 'clip' ? Math.floor : Math.round;
  const scaled = (side: number): { width: number; height: number } => ({
    width: Math.max(size, whole((stored.width * size) / side)),
    height: Math.max(size, whole((stored.height * size) / side)),
  });
  if (crop === 'center') {
    const { width, height } = scaled(shorter);
    return { width, height, left: halfToEven(width - size), top: halfToEven(height - size) };
  }
  if (random === undefined) throw new TypeError('a random crop needs a random stream');
  if (crop === 'published') return publishedFrame(stored, size, random);
  const { width, height } = scaled(random.uniform(cropScale, 1) * shorter);
  return { width, height, left: random.integer(width - size + 1), top: random.integer(height - size + 1) };
}

/** The offset is negative where there is padding (open_clip, ResizeKeepRatio and CenterCropOrPad). */
function paddedFrame(stored: Size, size: number): Frame {
  const ratio = Math.max(stored.width / size, stored.height / size);
  const width = Math.max(1, roundToEven(stored.width / ratio));
  const height = Math.max(1, roundToEven(stored.height / ratio));
  const offset = (side: number): number => -Math.floor((size - side) / 2);
  return { width, height, left: offset(width), top: offset(height) };
}

/** Images smaller than `size` are enlarged to it; the paper does not mention them. */
function publishedFrame({ width, height }: Size, size: number, random: RandomStream): Frame {
  const shorter = Math.min(width, height);
  const square = { left: random.integer(width - shorter + 1), top: random.integer(height - shorter + 1) };
  const max = Math.min(shorter, Math.round((12 / 8) * size));
  const min = Math.min(shorter, Math.round((9 / 8) * size));
  const side = Math.max(size, min + random.integer(max - min + 1));
  const scale = side / shorter;
  return {
    width: Math.max(side, Math.round(width * scale)),
    height: Math.max(side, Math.round(height * scale)),
    left: Math.floor(square.left * scale) + random.integer(side - size + 1),
    top: Math.floor(square.top * scale) + random.integer(side - size + 1),
  };
}

/** Pixels of the result by which the edge may be off: the last block of a reduced image reaches beyond it. */
const MAX_MISFIT = 1 / 8;

/**
 * The ratio by which a JPEG decoder reduces an image, so that no less is left than the frame's pixels, and the edges
 * stay where they are; undefined for a frame of more than half the image.
 */
export function jpegRatio(stored: Size, frame: Frame): JpegRatio | undefined {
  const fits = (from: number, ratio: JpegRatio, to: number): boolean => {
    const reduced = Math.ceil(from / ratio);
    return reduced >= to && (reduced - from / ratio) * (to / reduced) <= MAX_MISFIT;
  };
  if (stored.width < 2 * frame.width && stored.height < 2 * frame.height) return undefined;
  return ([4, 2, 1] as const).find(
    (ratio) => fits(stored.width, ratio, frame.width) && fits(stored.height, ratio, frame.height),
  );
}
