// What training would stumble over in a folder of pictures and captions, found by reading and decoding every file.

import { createHash } from 'node:crypto';
import { relative } from 'node:path';
import { InterruptedError } from '../util/errors.ts';
import { type Progress, SILENT } from '../util/progress.ts';
import { mapConcurrently } from './concurrent.ts';
import { decodeBuffer, PictureFault, type PictureInfo, readPictureFile } from './decode.ts';
import { type FolderListing, listFolder, readCaptions } from './source.ts';

const FILES_AT_ONCE = 6;
/** Pixels on a side of the trial decoding: damage shows at any size. */
const TRIAL_SIZE = 32;

export interface CheckOptions {
  /** Words from which a caption counts as too long: every word takes at least one token. */
  readonly textLength: number;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface Range {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** File names are relative to the folder. */
export interface DataReport {
  readonly path: string;
  readonly pictures: number;
  readonly usable: number;
  readonly unusable: readonly { readonly file: string; readonly reason: string }[];
  readonly formats: Readonly<Record<string, number>>;
  /** Pixels of the usable pictures, upright. */
  readonly width: Range | undefined;
  readonly height: Range | undefined;
  /** Files of the same contents. */
  readonly duplicates: readonly (readonly string[])[];
  readonly captions: CaptionReport;
}

export interface CaptionReport {
  /** Pictures with a caption. */
  readonly count: number;
  readonly distinct: number;
  /** Words of the captions. */
  readonly words: Range | undefined;
  /** Pictures without a caption. */
  readonly missing: readonly string[];
  readonly empty: readonly string[];
  readonly unreadable: readonly string[];
  /** More words than `textLength`. */
  readonly tooLong: readonly { readonly file: string; readonly words: number }[];
  /** Files of several lines, of which the first is used. */
  readonly severalLines: readonly string[];
  readonly withoutPicture: readonly string[];
}

interface LookedAt {
  readonly file: string;
  readonly hash?: string;
  readonly info?: PictureInfo;
  readonly reason?: string;
}

async function lookAt(path: string, file: string): Promise<LookedAt> {
  try {
    const data = await readPictureFile({ path });
    const hash = createHash('sha256').update(data).digest('hex');
    const { info } = await decodeBuffer(data, { size: TRIAL_SIZE, crop: 'none' });
    return { file, hash, info };
  } catch (error) {
    if (!(error instanceof PictureFault)) throw error;
    return { file, reason: error.message };
  }
}

function range(values: readonly number[]): Range | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  return { min: sorted[0]!, median: sorted[Math.floor(sorted.length / 2)]!, max: sorted.at(-1)! };
}

function groupBy(
  files: readonly LookedAt[],
  of: (file: LookedAt) => string | undefined,
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

async function checkCaptions(
  path: string,
  listing: FolderListing,
  textLength: number,
): Promise<CaptionReport> {
  const [missing, empty, unreadable, severalLines]: string[][] = [[], [], [], []];
  const tooLong: { file: string; words: number }[] = [];
  const lengths: number[] = [];
  const distinct = new Set<string>();
  for (const [key, picture] of listing.pictures) {
    const caption = listing.captions.get(key);
    const file = relative(path, caption ?? picture);
    if (caption === undefined) {
      missing!.push(file);
      continue;
    }
    const lines = await readCaptions(caption).catch(() => undefined);
    const [line] = lines ?? [];
    if (line === undefined) {
      (lines === undefined ? unreadable! : empty!).push(file);
      continue;
    }
    const words = line.split(/\s+/).length;
    lengths.push(words);
    distinct.add(line);
    if (lines!.length > 1) severalLines!.push(file);
    if (words > textLength) tooLong.push({ file, words });
  }
  const withoutPicture = [...listing.captions]
    .filter(([key]) => !listing.pictures.has(key))
    .map(([, caption]) => relative(path, caption));
  return {
    count: lengths.length,
    distinct: distinct.size,
    words: range(lengths),
    missing: missing!,
    empty: empty!,
    unreadable: unreadable!,
    tooLong,
    severalLines: severalLines!,
    withoutPicture,
  };
}

/**
 * Reads and decodes every file of a folder.
 * @throws DataError when there is no such folder or no picture in it, InterruptedError
 */
export async function checkFolder(path: string, options: CheckOptions): Promise<DataReport> {
  const { textLength, progress = SILENT, signal } = options;
  const listing = await listFolder(path);
  let done = 0;
  progress.start('checking', listing.pictures.size);
  const files = await mapConcurrently([...listing.pictures.values()], FILES_AT_ONCE, async (picture) => {
    if (signal?.aborted) throw new InterruptedError('stopped before every file was checked');
    const seen = await lookAt(picture, relative(path, picture));
    progress.update(++done);
    return seen;
  });
  progress.stop();
  const infos = files.flatMap(({ info }) => info ?? []);
  return {
    path,
    pictures: files.length,
    usable: infos.length,
    unusable: files.flatMap(({ file, reason }) => (reason === undefined ? [] : [{ file, reason }])),
    formats: Object.fromEntries(
      [...groupBy(files, ({ info }) => info?.format)]
        .map(([format, { length }]): [string, number] => [format, length])
        .sort(([a, m], [b, n]) => n - m || a.localeCompare(b)),
    ),
    width: range(infos.map(({ width }) => width)),
    height: range(infos.map(({ height }) => height)),
    duplicates: [...groupBy(files, ({ hash }) => hash).values()].filter(({ length }) => length > 1),
    captions: await checkCaptions(path, listing, textLength),
  };
}
