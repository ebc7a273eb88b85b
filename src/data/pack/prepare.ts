// An image as it is packed: its bytes as they are, or made smaller; and its hashes.

import { createHash } from 'node:crypto';
import { HASHED_SIZE, type PerceptualHash, perceptualHash } from '../check/perceptual-hash.ts';
import { decodeBuffer, openImage } from '../decode.ts';
import type { ImageFile } from '../image.ts';
import { readImageFile } from '../read-image.ts';
import type { PackSettings } from './manifest.ts';

export interface PreparedImage {
  readonly data: Uint8Array;
  readonly extension: string;
  /** Pixels, upright. */
  readonly width: number;
  readonly height: number;
  readonly isResized: boolean;
  /** SHA-256 of the image's file, in hexadecimal. */
  readonly sha256: string;
  readonly look: PerceptualHash | undefined;
}

/** Extensions of formats whose names are others. */
const EXTENSIONS: Readonly<Record<string, string>> = { jpeg: 'jpg', tiff: 'tif' };

/**
 * Reads an image, and makes its shorter side `settings.size` pixels where it is longer.
 * @throws ImageFault for a file that cannot be used
 */
export async function prepareImage(image: ImageFile, settings: PackSettings): Promise<PreparedImage> {
  const data = await readImageFile(image);
  const { pixels, info } = await decodeBuffer(data, { size: HASHED_SIZE, crop: 'none' });
  const common = {
    sha256: createHash('sha256').update(data).digest('hex'),
    look: perceptualHash(pixels),
  };
  const { size, format } = settings;
  const { width, height } = info;
  if (size === undefined || Math.min(width, height) <= size)
    return {
      data,
      extension: EXTENSIONS[info.format] ?? info.format,
      width,
      height,
      isResized: false,
      ...common,
    };
  const smaller = await reduced(data, settings, size);
  return { ...smaller, extension: EXTENSIONS[format] ?? format, isResized: true, ...common };
}

async function reduced(
  data: Uint8Array,
  { format, quality }: PackSettings,
  size: number,
): Promise<Pick<PreparedImage, 'data' | 'width' | 'height'>> {
  const upright = openImage(data).autoOrient().resize(size, size, { fit: 'outside' }).toColourspace('srgb');
  const opaque = format === 'jpeg' ? upright.flatten({ background: '#ffffff' }) : upright;
  const { data: encoded, info } = await opaque
    .toFormat(format, format === 'png' ? {} : { quality })
    .toBuffer({ resolveWithObject: true });
  return { data: encoded, width: info.width, height: info.height };
}
