// A source of images: parts that can be read one at a time, each a list of images with their captions. Reading says
// where the bytes of an image lie; it decodes nothing.

import type { CaptionedImage } from '../image.ts';
import type { Faults } from './faults.ts';

/** The kinds of sources in words, for the help text. */
export const SOURCES =
  'a folder of images, WebDataset tars (a tar, a folder of them, tars-{000..012}.tar, a URL), a CSV, TSV, JSON or COCO list, Parquet, or several of these joined by ::';

export interface ReadOptions {
  /** Images without a caption are left out (`required`) or kept (`optional`); `ignore` reads no captions. */
  readonly captions: 'required' | 'optional' | 'ignore';
  /** Receives what is left out, and why. */
  readonly faults?: Faults | undefined;
  /** How the tables of the source are read; found by looking where it is not said. */
  readonly table?: TableOptions | undefined;
  /** Stops the reading. */
  readonly signal?: AbortSignal | undefined;
}

export interface TableOptions {
  /** Name of the column with the image's path, or its bytes. */
  readonly imageColumn?: string | undefined;
  /** Name of the column with the captions. */
  readonly captionColumn?: string | undefined;
  /** Character between the cells of a row. */
  readonly separator?: string | undefined;
}

export interface Source {
  /** As the user named it. */
  readonly path: string;
  /** The folder that file names are relative to. */
  readonly base: string;
  /** In the order of the source: one for a folder or a list, one for each tar. */
  readonly parts: readonly SourcePart[];
}

/**
 * How the bytes of a part can be had: `direct`, at any place at any time; `copied`, in order only (a compressed tar, a
 * URL, images inside Parquet), so that each reading first copies all of it into temporary storage; `once`, the same, and
 * a second time there is nothing to read (a pipe).
 */
export type PartAccess = 'direct' | 'copied' | 'once';

export interface SourcePart {
  /** File, folder or URL. */
  readonly path: string;
  readonly access: PartAccess;
  /** That of its images, where its source was given one. */
  readonly weight?: number | undefined;
  /**
   * The images of the part, in an order that depends on its contents only. What is left out is recorded; images
   * without a caption are in it whatever the options say (see `keepCaptioned`).
   * @throws DataError when there is no such part, or nothing of it can be read
   */
  read(options: ReadOptions): Promise<OpenPart>;
  /** The same images one after the other, of a part whose captions need not be in memory at once. */
  stream?(options: ReadOptions): Promise<ImageStream>;
}

export interface ImageStream {
  readonly total: number;
  readonly images: Iterable<CaptionedImage> | AsyncIterable<CaptionedImage>;
  /** As that of `OpenPart`. */
  close(): Promise<void>;
}

export interface OpenPart {
  readonly images: readonly CaptionedImage[];
  /** Frees the temporary storage of a `copied` part: its images can no longer be read. */
  close(): Promise<void>;
}

/** The images of a part whose bytes stay where they are. */
export const inPlace = (images: readonly CaptionedImage[]): OpenPart => ({ images, close: async () => {} });
