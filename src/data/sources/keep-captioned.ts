// The images that an options' rule about captions keeps: one rule for all sources and commands.

import { DataError } from '../../util/errors.ts';
import type { CaptionedImage } from '../image.ts';
import type { Faults } from './faults.ts';
import type { ReadOptions } from './source.ts';

/**
 * The images with a caption where captions are required, and all otherwise; those left out are recorded.
 * @throws DataError when captions are required and no image has one
 */
export function keepCaptioned<T extends Pick<CaptionedImage, 'path' | 'captions' | 'lack'>>(
  images: readonly T[],
  { captions, faults }: ReadOptions,
): T[] {
  if (captions !== 'required') return [...images];
  const [first] = images;
  const kept = images.filter(({ captions: some }) => some.length > 0);
  if (first && kept.length === 0) {
    throw new DataError(`${images.length} of ${images.length} images have no caption, or an empty one`, {
      code: 'E_NO_CAPTION',
      where: first.path,
      fix: 'each image needs a .txt of the same name beside it, or a column of captions in its list, which `captionColumn` names; mm data check lists those without',
    });
  }
  for (const image of images) if (image.captions.length === 0) recordLack(image, faults);
  return kept;
}

/** Records an image without a caption; what is wrong with a caption file was recorded when it was read. */
export function recordLack(
  { path, lack = 'no-caption' }: Pick<CaptionedImage, 'path' | 'lack'>,
  faults?: Faults,
): void {
  if (lack !== 'unreadable-caption') faults?.record({ kind: lack, where: path });
}
