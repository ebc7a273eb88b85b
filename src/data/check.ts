// Problems in images and captions that training would meet, found by reading and decoding every file.

import { createHash } from 'node:crypto';
import { mapConcurrently } from '../util/concurrent.ts';
import { InterruptedError } from '../util/errors.ts';
import { type Progress, SILENT } from '../util/progress.ts';
import { type CheckedImage, type CheckedSource, readSource } from './checked-source.ts';
import { decodeBuffer, type ImageInfo } from './decode.ts';
import { ImageFault } from './image.ts';
import { readImageFile } from './read-image.ts';
import type { TableOptions } from './sources/source.ts';

/** Bound on image files in memory. */
const MAX_OPEN_IMAGES = 6;
/** Pixels on a side of the trial decoding; damage shows at any size. */
const TRIAL_SIZE = 32;

export interface CheckOptions {
  /** Captions of more words count as too long: every word takes at least one token. */
  readonly textLength: number;
  readonly table?: TableOptions;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface Range {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** File names are relative to the folder, or to the folder of the archives or the list. */
export interface DataReport {
  readonly path: string;
  readonly images: number;
  readonly usable: number;
  /** Images, and whole archives, that cannot be used. */
  readonly unusable: readonly { readonly file: string; readonly reason: string }[];
  readonly formats: Readonly<Record<string, number>>;
  /** Pixels of the usable images, upright. */
  readonly width: Range | undefined;
  readonly height: Range | undefined;
  /** Files with the same contents. */
  readonly duplicates: readonly (readonly string[])[];
  readonly captions: CaptionReport;
}

export interface CaptionReport {
  /** Images with a caption. */
  readonly count: number;
  /** Number of different first captions. */
  readonly distinct: number;
  /** First captions shared by several images, most frequent first. */
  readonly repeated: readonly { readonly caption: string; readonly images: number }[];
  /** Words in a caption. */
  readonly words: Range | undefined;
  /** Images without a caption. */
  readonly missing: readonly string[];
  readonly empty: readonly string[];
  readonly unreadable: readonly string[];
  /** Captions of more words than `textLength`. */
  readonly tooLong: readonly { readonly file: string; readonly words: number }[];
  /** Images with several captions, of which each epoch picks one. */
  readonly severalLines: readonly string[];
  readonly withoutImage: readonly string[];
}

interface ExaminedFile {
  readonly file: string;
  readonly hash?: string;
  readonly info?: ImageInfo;
  readonly reason?: string;
}

async function examine({ file, image }: CheckedImage): Promise<ExaminedFile> {
  try {
    const data = await readImageFile(image);
    const hash = createHash('sha256').update(data).digest('hex');
    const { info } = await decodeBuffer(data, { size: TRIAL_SIZE, crop: 'none' });
    return { file, hash, info };
  } catch (error) {
    if (!(error instanceof ImageFault)) throw error;
    return { file, reason: error.message };
  }
}

function range(values: readonly number[]): Range | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  return { min: sorted[0]!, median: sorted[Math.floor(sorted.length / 2)]!, max: sorted.at(-1)! };
}

function groupBy(
  files: readonly ExaminedFile[],
  of: (file: ExaminedFile) => string | undefined,
): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const item of files) {
    const key = of(item);
    if (key === undefined) continue;
    const group = groups.get(key);
    if (group) group.push(item.file);
    else groups.set(key, [item.file]);
  }
  return groups;
}

function captionReport({ images, orphanCaptions: alone }: CheckedSource, textLength: number): CaptionReport {
  const captioned = images.flatMap(({ captionFile, captions }) =>
    Array.isArray(captions) ? [{ file: captionFile, captions }] : [],
  );
  const without = (reason: CheckedImage['captions']): string[] =>
    images.filter(({ captions }) => captions === reason).map(({ captionFile }) => captionFile);
  const lines = captioned.flatMap(({ file, captions }) =>
    captions.map((caption) => ({ file, words: caption.split(/\s+/).length })),
  );
  const firsts = new Map<string, number>();
  for (const { captions } of captioned) {
    const [caption] = captions as [string];
    firsts.set(caption, (firsts.get(caption) ?? 0) + 1);
  }
  return {
    count: captioned.length,
    distinct: firsts.size,
    repeated: [...firsts]
      .flatMap(([caption, images]) => (images > 1 ? [{ caption, images }] : []))
      .sort((a, b) => b.images - a.images),
    words: range(lines.map(({ words }) => words)),
    missing: without('missing'),
    empty: without('empty'),
    unreadable: without('unreadable'),
    tooLong: lines.filter(({ words }) => words > textLength),
    severalLines: captioned.filter(({ captions }) => captions.length > 1).map(({ file }) => file),
    withoutImage: alone,
  };
}

/**
 * Reads and decodes every image of a source (sources/resolve.ts).
 * @throws DataError when there is no such source or no image in it, or a list is damaged; InterruptedError
 */
export async function checkData(path: string, options: CheckOptions): Promise<DataReport> {
  const { textLength, table, progress = SILENT, signal } = options;
  const source = await readSource(path, table);
  let done = 0;
  progress.start('checking', source.images.length);
  const files = await mapConcurrently(source.images, MAX_OPEN_IMAGES, async (image) => {
    if (signal?.aborted)
      throw new InterruptedError('stopped before every file was checked', { code: 'E_INTERRUPTED' });
    const seen = await examine(image);
    progress.update(++done);
    return seen;
  });
  progress.stop();
  const infos = files.flatMap(({ info }) => info ?? []);
  const faulty = files.flatMap(({ file, reason }) => (reason === undefined ? [] : [{ file, reason }]));
  return {
    path,
    images: files.length,
    usable: infos.length,
    unusable: [...source.damagedArchives, ...faulty],
    formats: Object.fromEntries(
      [...groupBy(files, ({ info }) => info?.format)]
        .map(([format, { length }]): [string, number] => [format, length])
        .sort(([a, m], [b, n]) => n - m || a.localeCompare(b)),
    ),
    width: range(infos.map(({ width }) => width)),
    height: range(infos.map(({ height }) => height)),
    duplicates: [...groupBy(files, ({ hash }) => hash).values()].filter(({ length }) => length > 1),
    captions: captionReport(source, textLength),
  };
}
