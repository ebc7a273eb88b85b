// Problems in images and captions that training would meet, found by reading and decoding every file.

import { createHash } from 'node:crypto';
import { loadTokenizer } from '../../tokenizers/load.ts';
import { mapConcurrently } from '../../util/concurrent.ts';
import { InterruptedError } from '../../util/errors.ts';
import { type Progress, SILENT } from '../../util/progress.ts';
import { decodeBuffer, type ImageInfo } from '../decode.ts';
import { ImageFault, type ImageFaultKind, type ImageFile } from '../image.ts';
import { readImageFile } from '../read-image.ts';
import { FINDINGS, type FindingKind } from '../sources/fault-kinds.ts';
import type { FindingCount } from '../sources/faults.ts';
import type { TableOptions } from '../sources/source.ts';
import { type CaptionReport, captionReport } from './captions.ts';
import { type CheckedImage, readSource } from './checked-source.ts';
import { type Bin, binsOf, type Range, rangeOf } from './distribution.ts';
import { nearDuplicates } from './near-duplicates.ts';
import { HASHED_SIZE, type PerceptualHash, perceptualHash } from './perceptual-hash.ts';

/** Bound on image files in memory. */
const MAX_OPEN_IMAGES = 6;
/** Edges of the bins of shorter sides, in pixels. */
const SIDES = [32, 64, 128, 256, 512, 1024, 2048];
/** Examples of a finding that are listed. */
const MAX_EXAMPLES = 20;

export interface CheckOptions {
  /** Captions of more tokens count as too long; of more words without a tokenizer, as every word takes at least one. */
  readonly textLength: number;
  /** Path of the tokenizer that counts tokens. */
  readonly tokenizer?: string | undefined;
  readonly table?: TableOptions;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

/** File names are relative to the folder, or to the folder of the archives or the list. */
export interface DataReport {
  readonly path: string;
  readonly images: number;
  readonly usable: number;
  /** Images, and whole archives, that cannot be used. */
  readonly unusable: readonly UnusableFile[];
  /** What was found, by kind: faults, and what is left out or decided by a rule. */
  readonly findings: readonly Found[];
  readonly formats: Readonly<Record<string, number>>;
  /** Pixels of the usable images, upright. */
  readonly width: Range | undefined;
  readonly height: Range | undefined;
  /** Usable images by their shorter side in pixels. */
  readonly sides: readonly Bin[];
  /** Width over height of the usable images. */
  readonly aspect: Range | undefined;
  readonly aspects: readonly Bin[];
  /** Files with the same contents. */
  readonly duplicates: readonly (readonly string[])[];
  /** Files with other contents that look nearly the same. */
  readonly nearDuplicates: readonly (readonly string[])[];
  readonly captions: CaptionReport;
}

export interface UnusableFile {
  readonly file: string;
  readonly reason: string;
  readonly kind: FindingKind;
}

export interface Found {
  readonly kind: FindingKind;
  /** The kind in words that follow a count. */
  readonly what: string;
  readonly count: number;
  readonly examples: readonly string[];
}

export interface CheckedData {
  readonly report: DataReport;
  /** The images by the names that the report has for them and for their captions. */
  readonly files: ReadonlyMap<string, ExaminedImage>;
}

export interface ExaminedImage extends Pick<CheckedImage, 'captions'> {
  readonly image: ImageFile;
  readonly info: ImageInfo | undefined;
}

interface ExaminedFile {
  readonly file: string;
  readonly hash?: string;
  readonly look?: PerceptualHash | undefined;
  readonly info?: ImageInfo;
  readonly fault?: { readonly reason: string; readonly kind: ImageFaultKind };
}

async function examine({ file, image }: CheckedImage): Promise<ExaminedFile> {
  try {
    const data = await readImageFile(image);
    const hash = createHash('sha256').update(data).digest('hex');
    // Damage shows at any size.
    const { info, pixels } = await decodeBuffer(data, { size: HASHED_SIZE, crop: 'none' });
    return { file, hash, info, look: perceptualHash(pixels) };
  } catch (error) {
    if (!(error instanceof ImageFault)) throw error;
    return { file, fault: { reason: error.message, kind: error.kind } };
  }
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

/**
 * Reads and decodes every image of a source (sources/resolve.ts).
 * @throws DataError when there is no such source, no image in it or no such tokenizer, or a list is damaged;
 *   InterruptedError
 */
export async function checkData(path: string, options: CheckOptions): Promise<CheckedData> {
  const { textLength, table, progress = SILENT, signal } = options;
  const tokenizer = options.tokenizer === undefined ? undefined : await loadTokenizer(options.tokenizer);
  const source = await readSource(path, { table, signal });
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
  const faulty = files.flatMap(({ file, fault }) => (fault ? [{ file, ...fault }] : []));
  const aspects = infos.map(({ width, height }) => width / height);
  const damaged = source.damagedArchives.map((archive) => ({ ...archive, kind: 'cut-archive' as const }));
  const report: DataReport = {
    path,
    images: files.length,
    usable: infos.length,
    unusable: [...damaged, ...faulty],
    findings: [...imageFindings(faulty), ...source.findings.map(asFound)],
    formats: Object.fromEntries(
      [...groupBy(files, ({ info }) => info?.format)]
        .map(([format, { length }]): [string, number] => [format, length])
        .sort(([a, m], [b, n]) => n - m || a.localeCompare(b)),
    ),
    width: rangeOf(infos.map(({ width }) => width)),
    height: rangeOf(infos.map(({ height }) => height)),
    sides: binsOf(
      infos.map(({ width, height }) => Math.min(width, height)),
      SIDES,
    ),
    aspect: rangeOf(aspects.map((aspect) => Number(aspect.toFixed(3)))),
    aspects: aspectBins(aspects),
    duplicates: [...groupBy(files, ({ hash }) => hash).values()].filter(({ length }) => length > 1),
    nearDuplicates: nearDuplicates(distinctLooks(files)),
    captions: captionReport(source, textLength, tokenizer),
  };
  return { report, files: filesByName(source.images, files) };
}

/** The first file of those with the same contents, where its image has a hash. */
function distinctLooks(files: readonly ExaminedFile[]): { file: string; hash: PerceptualHash }[] {
  const seen = new Set<string>();
  return files.flatMap(({ file, hash = '', look }) => {
    if (!look || seen.has(hash)) return [];
    seen.add(hash);
    return [{ file, hash: look }];
  });
}

function imageFindings(faulty: readonly UnusableFile[]): Found[] {
  const kinds = [...new Set(faulty.map(({ kind }) => kind))];
  return kinds.map((kind) => {
    const some = faulty.filter((fault) => fault.kind === kind);
    const examples = some.slice(0, MAX_EXAMPLES).map(({ file, reason }) => `${file}: ${reason}`);
    return { kind, what: FINDINGS[kind], count: some.length, examples };
  });
}

const asFound = ({ kind, count, examples }: FindingCount): Found => ({
  kind,
  what: FINDINGS[kind],
  count,
  examples: examples
    .slice(0, MAX_EXAMPLES)
    .map(({ where, reason }) => (reason === undefined ? where : `${where}: ${reason}`)),
});

/** By how much of an image a central square leaves out. */
function aspectBins(aspects: readonly number[]): Bin[] {
  const kinds: [range: string, from: number, to: number][] = [
    ['taller than 2:1', 0, 1 / 2],
    ['2:1 to 4:3, upright', 1 / 2, 3 / 4],
    ['nearly square', 3 / 4, 4 / 3],
    ['4:3 to 2:1, wide', 4 / 3, 2],
    ['wider than 2:1', 2, Number.POSITIVE_INFINITY],
  ];
  return kinds.map(([range, from, to]) => ({
    range,
    count: aspects.filter((aspect) => aspect >= from && aspect < to).length,
  }));
}

function filesByName(
  images: readonly CheckedImage[],
  examined: readonly ExaminedFile[],
): Map<string, ExaminedImage> {
  const files = new Map<string, ExaminedImage>();
  for (const [i, { file, captionFile, image, captions }] of images.entries()) {
    const one = { image, captions, info: examined[i]?.info };
    files.set(file, one);
    if (!files.has(captionFile)) files.set(captionFile, one);
  }
  return files;
}
