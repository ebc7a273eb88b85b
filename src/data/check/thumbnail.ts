// Small images for pages: of a damaged file, as much as can be decoded.

import sharp from 'sharp';
import type { ImageFile } from '../image.ts';
import { readImageFile } from '../read-image.ts';

/** Pixels of the longer side. */
const SIZE = 160;
/** What is decoded for a thumbnail, at most. */
const MAX_PIXELS = 100_000_000;

/** PNG of an image; a grey square where nothing of it can be decoded. */
export async function thumbnail(image: ImageFile): Promise<Uint8Array> {
  try {
    return await sharp(await readImageFile(image), { failOn: 'none', limitInputPixels: MAX_PIXELS })
      .autoOrient()
      .resize(SIZE, SIZE, { fit: 'inside', withoutEnlargement: true })
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .png({ compressionLevel: 9 })
      .toBuffer();
  } catch {
    return sharp({ create: { width: SIZE, height: SIZE, channels: 3, background: '#9aa3ad' } })
      .png()
      .toBuffer();
  }
}
