// Whether `--like` reproduced the pixels of its file.

import type { SampledImage } from '../../api/sample.ts';
import { readPngMetadata, readPngPixels } from '../../report/images/png.ts';

/** The metadata that determine an image's pixels. */
const DETERMINING_KEYS = ['prompt', 'seed', 'settings', 'negative', 'prime', 'model'];

/** Whether the pixels equal the file's; undefined where prompt, seed, settings or model differ. */
export async function isRepeated(image: SampledImage, file: string): Promise<boolean | undefined> {
  const metadata = await readPngMetadata(file);
  if (DETERMINING_KEYS.some((key) => metadata[key] !== image.metadata[key])) return undefined;
  return Buffer.from(image.pixels).equals(await readPngPixels(file));
}
