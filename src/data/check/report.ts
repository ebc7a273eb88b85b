// What `mm data check` says about images.

import type { ImageInfo } from '../decode.ts';
import type { CaptionedImage, ImageFaultKind, ImageFile } from '../image.ts';
import { type FindingKind, findingText } from '../sources/fault-kinds.ts';
import type { CaptionReport } from './captions.ts';
import type { Groups, Listed } from './lists.ts';
import type { PerceptualHash } from './perceptual-hash.ts';
import type { SizeReport } from './sizes.ts';

/** Examples of a finding that are listed. */
const MAX_EXAMPLES = 20;

/** File names are relative to the folder, or to the folder of the archives or the list. */
export interface DataReport extends SizeReport {
  readonly path: string;
  readonly images: number;
  readonly usable: number;
  /** Images, and whole archives, that cannot be used. */
  readonly unusable: Listed<UnusableFile>;
  /** What was found, by kind: faults, and what is left out or decided by a rule. */
  readonly findings: readonly Found[];
  /** Files with the same contents. */
  readonly duplicates: Groups;
  /** Files with other contents that look nearly the same. */
  readonly nearDuplicates: Groups;
  readonly captions: CaptionReport;
  /** What was not compared or is not exact, in words; empty where all was and is. */
  readonly limits: readonly string[];
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
  /** The images that the report lists, by the names that it has for them and for their captions. */
  readonly files: ReadonlyMap<string, SeenImage>;
  /** Images of extreme proportions, and much smaller ones than most: the most extreme first. */
  readonly extremes: Listed;
  readonly small: Listed;
  /** Images that cannot be used, by kind. */
  readonly unusable: ReadonlyMap<FindingKind, Listed<UnusableFile>>;
}

/** What is kept of an image that is listed. */
export interface SeenImage {
  readonly file: string;
  readonly image: ImageFile;
  readonly info?: ImageInfo | undefined;
  readonly caption?: string | undefined;
}

/** An image that was read. */
export interface ExaminedImage {
  readonly image: CaptionedImage;
  readonly hash?: Buffer;
  readonly look?: PerceptualHash | undefined;
  readonly info?: ImageInfo;
  readonly fault?: { readonly reason: string; readonly kind: ImageFaultKind };
}

/** What was found besides the images. */
export interface SourceFindings {
  readonly orphans: Listed;
  /** Archives that cannot be read to their end. */
  readonly damaged: Listed<UnusableFile>;
  readonly found: readonly Found[];
}

/** A finding, with its first examples. */
export const asFound = (kind: FindingKind, count: number, examples: readonly string[]): Found => ({
  kind,
  what: findingText(kind, count),
  count,
  examples: examples.slice(0, MAX_EXAMPLES),
});
