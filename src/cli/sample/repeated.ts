// Whether an image that was to be the same as one in a file is.

import type { SampledImage } from '../../api/sample.ts';
import { readPngMetadata, readPngPixels } from '../../report/images/png.ts';

/** What of an image's texts determines its pixels. */
const DETERMINE = ['prompt', 'seed', 'settings', 'negative', 'prime', 'model'];

/** Whether the pixels are the file's; undefined where other ones were asked for. */
export async function isRepeated(image: SampledImage, file: string): Promise<boolean | undefined> {
  const metadata = await readPngMetadata(file);
  if (DETERMINE.some((key) => metadata[key] !== image.metadata[key])) return undefined;
  return Buffer.from(image.pixels).equals(await readPngPixels(file));
}
