// The beginning of an image: the first rows of another one's codes.

import { decodeBuffer, decodeImage } from '../data/decode.ts';
import { ImageFault } from '../data/image.ts';
import type { DvaeCodec } from '../inference/dvae/codec.ts';
import { DataError, UsageError } from '../util/errors.ts';
import type { Named, Prime } from './options.ts';

/**
 * The codes of the first rows, after the preprocessing that the training images went through.
 * @returns rows × grid
 * @throws UsageError when nothing would be left to draw
 * @throws DataError for an image that cannot be read
 */
export async function primeCodes(
  { image, rows }: Prime,
  codec: DvaeCodec,
  named: Named,
): Promise<Int32Array> {
  const { grid } = codec;
  if (rows >= grid) {
    throw new UsageError(
      `${named('prime.rows')} ${rows} leaves nothing to draw: images have ${grid} rows of codes`,
      {
        where: named('prime.rows'),
        fix: `keep from 1 to ${grid - 1} rows`,
      },
    );
  }
  const options = { size: codec.config.imageSize, grid, crop: 'center' } as const;
  try {
    const pixels =
      typeof image === 'string'
        ? await decodeImage(image, options)
        : (await decodeBuffer(image, options)).pixels;
    return (await codec.encode(pixels)).slice(0, rows * grid);
  } catch (cause) {
    if (!(cause instanceof ImageFault)) throw cause;
    throw new DataError(`the image to begin with cannot be used: ${cause.message}`, {
      where: typeof image === 'string' ? image : named('prime'),
      fix: 'name a JPEG, PNG, WebP or AVIF image',
      cause,
    });
  }
}
