// The beginning of a picture: the first rows of another one's codes.

import { decodeBuffer, decodePicture } from '../data/decode.ts';
import { PictureFault } from '../data/picture.ts';
import type { DvaeCodec } from '../inference/dvae/codec.ts';
import { DataError, UsageError } from '../util/errors.ts';
import type { Named, Prime } from './options.ts';

/**
 * The codes of the first rows, after the preprocessing that the training pictures went through.
 * @returns rows × grid
 * @throws UsageError when nothing would be left to draw
 * @throws DataError for a picture that cannot be read
 */
export async function primeCodes(
  { picture, rows }: Prime,
  codec: DvaeCodec,
  named: Named,
): Promise<Int32Array> {
  const { grid } = codec;
  if (rows >= grid) {
    throw new UsageError(
      `${named('prime.rows')} ${rows} leaves nothing to draw: pictures have ${grid} rows of codes`,
      {
        where: named('prime.rows'),
        fix: `keep from 1 to ${grid - 1} rows`,
      },
    );
  }
  const options = { size: codec.config.imageSize, grid, crop: 'center' } as const;
  try {
    const pixels =
      typeof picture === 'string'
        ? await decodePicture(picture, options)
        : (await decodeBuffer(picture, options)).pixels;
    return (await codec.encode(pixels)).slice(0, rows * grid);
  } catch (cause) {
    if (!(cause instanceof PictureFault)) throw cause;
    throw new DataError(`the picture to begin with cannot be used: ${cause.message}`, {
      where: typeof picture === 'string' ? picture : named('prime'),
      fix: 'name a JPEG, PNG, WebP or AVIF picture',
      cause,
    });
  }
}
