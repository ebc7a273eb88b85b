// All contents of a source of images, for `mm data check`: what other commands leave out is listed.

import { relative } from 'node:path';
import type { CaptionedImage, CaptionLack, ImageFile } from '../image.ts';
import { Faults, type FindingCount } from '../sources/faults.ts';
import { openSource } from '../sources/open-source.ts';
import { readImages } from '../sources/resolve.ts';
import type { ReadOptions } from '../sources/source.ts';

export interface CheckedImage {
  /** Relative to the source's folder. */
  readonly file: string;
  readonly image: ImageFile;
  /** The file of its captions; the image's own file where they are missing or in a list. */
  readonly captionFile: string;
  /** At least one, or why there is none. */
  readonly captions: readonly string[] | 'missing' | 'empty' | 'unreadable';
}

export interface CheckedSource {
  readonly images: readonly CheckedImage[];
  /** Captions without an image. */
  readonly orphanCaptions: readonly string[];
  /** Archives that cannot be read to their end. */
  readonly damagedArchives: readonly { readonly file: string; readonly reason: string }[];
  /** What was found besides the images, by kind. */
  readonly findings: readonly FindingCount[];
}

const LACKS: Readonly<Record<CaptionLack, 'missing' | 'empty' | 'unreadable'>> = {
  'no-caption': 'missing',
  'empty-caption': 'empty',
  'unreadable-caption': 'unreadable',
};

/**
 * Lists the contents of a source.
 * @throws DataError when there is no such source or no image in it
 */
export async function readSource(
  path: string,
  options: Pick<ReadOptions, 'table' | 'signal'> = {},
): Promise<CheckedSource> {
  const { base } = await openSource(path);
  const faults = new Faults();
  const images = await readImages(path, { ...options, captions: 'optional', faults });
  const { counts } = faults;
  const found = (kind: FindingCount['kind']) => counts.find((count) => count.kind === kind)?.examples ?? [];
  return {
    images: images.map(checked(base)),
    orphanCaptions: found('orphan-caption').map(({ where }) => relative(base, where)),
    damagedArchives: found('cut-archive').map(({ where, reason = '' }) => ({
      file: relative(base, where),
      reason,
    })),
    findings: counts,
  };
}

const checked =
  (base: string) =>
  (image: CaptionedImage): CheckedImage => ({
    file: relative(base, image.path),
    image,
    captionFile: relative(base, image.captionFile ?? image.path),
    captions: image.captions.length > 0 ? image.captions : LACKS[image.lack ?? 'no-caption'],
  });
