// One picture file to square RGB pixels.

import sharp, { type Metadata, type Sharp } from 'sharp';
import type { RandomStream } from '../util/random.ts';

export interface DecodeOptions {
  /** Pixels on a side of the result. */
  readonly size: number;
  /**
   * `center`: the shorter side is fitted and the middle kept. `random`: a random square of at least `cropScale` of
   * the shorter side (arXiv 2102.12092, appendix A.2). `none`: squeezed to the square.
   */
  readonly crop: 'random' | 'center' | 'none';
  readonly cropScale?: number;
  /** Draws the crop and the flip; needed for `random` and `flip`. */
  readonly random?: RandomStream;
  /** Mirror half of the pictures. */
  readonly flip?: boolean;
}

/** A square of the picture, in its pixels after rotation. */
interface Square {
  readonly left: number;
  readonly top: number;
  readonly side: number;
}

/** Least pixels on a side: a picture of one row or column has nothing to reconstruct. */
const LEAST_SIDE = 2;
/** 20,000 × 20,000; a file that claims more is not trusted. */
const MOST_PIXELS = 4e8;

/** A file that cannot be used; says why in a few words. */
export class PictureFault extends Error {}

/**
 * RGB, size × size × 3: rotated as its EXIF data says, alpha over white, any colour space to sRGB.
 * @throws PictureFault when the file is no picture, is cut short or is too small
 */
export async function decodePicture(path: string, options: DecodeOptions): Promise<Uint8Array> {
  const { size, crop, random, flip = false } = options;
  try {
    const metadata = await open(path).metadata();
    const { width, height } = upright(metadata);
    if (width < LEAST_SIDE || height < LEAST_SIDE)
      throw new PictureFault(`${width} × ${height} pixels are too few`);
    let image = open(path).rotate();
    if (crop === 'random' && random) {
      const { left, top, side } = randomSquare(width, height, options.cropScale ?? 1, random);
      image = image.extract({ left, top, width: side, height: side });
    }
    image = image.resize(size, size, { fit: crop === 'center' ? 'cover' : 'fill', kernel: 'lanczos3' });
    if (flip && random && random.uniform() < 0.5) image = image.flop();
    return await image.flatten({ background: '#ffffff' }).toColourspace('srgb').raw().toBuffer();
  } catch (error) {
    if (error instanceof PictureFault) throw error;
    throw new PictureFault((error as Error).message.replace(path, '').trim(), { cause: error });
  }
}

const open = (path: string): Sharp =>
  sharp(path, { failOn: 'truncated', limitInputPixels: MOST_PIXELS, sequentialRead: true });

/** Size after the rotation that EXIF asks for. */
function upright({ width = 0, height = 0, orientation = 1 }: Metadata): { width: number; height: number } {
  return orientation >= 5 ? { width: height, height: width } : { width, height };
}

function randomSquare(width: number, height: number, scale: number, random: RandomStream): Square {
  const shorter = Math.min(width, height);
  const least = Math.max(1, Math.round(shorter * scale));
  const side = least + random.integer(shorter - least + 1);
  return { side, left: random.integer(width - side + 1), top: random.integer(height - side + 1) };
}
