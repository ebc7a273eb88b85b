// Whether a picture that was to be the same as one in a file is.

import type { SampledPicture } from '../../api/sample.ts';
import { readPngMetadata, readPngPixels } from '../../report/images/png.ts';

/** What of a picture's texts determines its pixels. */
const DETERMINE = ['prompt', 'seed', 'settings', 'negative', 'prime', 'model'];

/** Whether the pixels are the file's; undefined where other ones were asked for. */
export async function isRepeated(picture: SampledPicture, file: string): Promise<boolean | undefined> {
  const metadata = await readPngMetadata(file);
  if (DETERMINE.some((key) => metadata[key] !== picture.metadata[key])) return undefined;
  return Buffer.from(picture.pixels).equals(await readPngPixels(file));
}
