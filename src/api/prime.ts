// The beginning of an image: the first rows of image tokens of another image.

import { decodeBuffer, decodeImage } from '../data/decode.ts';
import { ImageFault } from '../data/image.ts';
import { decodeReducedJpeg } from '../data/reduced-jpeg.ts';
import type { DvaeCodec } from '../inference/dvae/codec.ts';
import { DataError, UsageError } from '../util/errors.ts';
import type { Prime } from './options.ts';

/**
 * The image tokens of the first rows, after the preprocessing that training images get.
 * @returns rows × grid
 * @throws UsageError when no row is left to sample
 * @throws DataError for an image that cannot be read
 */
export async function primeTokens({ image, rows }: Prime, codec: DvaeCodec): Promise<Int32Array> {
  const { grid } = codec;
  if (rows >= grid) {
    throw new UsageError(
      `\`prime.rows\` ${rows} leaves no row to sample: images have ${grid} rows of image tokens`,
      { code: 'E_PRIME_ROWS', option: 'prime.rows', fix: `keep from 1 to ${grid - 1} rows` },
    );
  }
  const options = { size: codec.config.imageSize, grid, crop: 'center', jpeg: decodeReducedJpeg } as const;
  try {
    const pixels =
      typeof image === 'string'
        ? await decodeImage(image, options)
        : (await decodeBuffer(image, options)).pixels;
    return (await codec.encode(pixels)).slice(0, rows * grid);
  } catch (cause) {
    if (!(cause instanceof ImageFault)) throw cause;
    throw new DataError(`the image of \`prime.image\` cannot be used: ${cause.message}`, {
      code: 'E_PRIME_IMAGE',
      option: 'prime.image',
      ...(typeof image === 'string' && { where: image }),
      fix: 'name a JPEG, PNG, WebP or AVIF image',
      cause,
    });
  }
}
