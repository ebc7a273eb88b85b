// The images that a configuration trains on: its sources, and those held out for validation.

import type { CaptionedImage } from './image.ts';
import { readImages } from './sources/resolve.ts';
import type { ReadOptions, TableOptions } from './sources/source.ts';

export interface TrainingSource {
  readonly path: string;
  /** Times that an epoch has each image of the sources of `path`. */
  readonly weights?: readonly number[] | undefined;
  /** Source of the validation examples. */
  readonly validationPath?: string | undefined;
  readonly table?: TableOptions | undefined;
}

/**
 * The images of both sources, with the part of the data set that each belongs to, where that is said (see
 * `splitExamples`). Images of a test split are left out.
 * @throws DataError as `readImages` does
 */
export async function readTrainingImages(
  { path, weights, validationPath, table }: TrainingSource,
  options: Omit<ReadOptions, 'table'>,
): Promise<CaptionedImage[]> {
  const all = await readImages(path, { ...options, table, weights });
  const images = withoutTest(all, options);
  if (validationPath === undefined) return images;
  const validation = await readImages(validationPath, { ...options, table });
  return joinValidation(images, validation);
}

/** The examples of training, all of which are, and those of validation, whatever split they name themselves. */
export function joinValidation<T extends Pick<CaptionedImage, 'split'>>(
  training: readonly T[],
  validation: readonly T[],
): T[] {
  return [
    ...training
      .filter(({ split }) => split !== 'validation')
      .map((image) => ({ ...image, split: 'train' as const })),
    ...validation.map((image) => ({ ...image, split: 'validation' as const })),
  ];
}

/** The examples that are in no test split; the others are recorded. */
export function withoutTest<T extends Pick<CaptionedImage, 'split' | 'path'>>(
  images: readonly T[],
  { faults }: Pick<ReadOptions, 'faults'>,
): T[] {
  for (const { split, path } of images)
    if (split === 'test') faults?.record({ kind: 'test-split', where: path });
  faults?.report(0);
  return images.filter(({ split }) => split !== 'test');
}
