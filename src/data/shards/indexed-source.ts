// The images of a source by their index in it, read in any order of parts: a small source is listed in memory, a large
// one is read part by part, and only the parts that are wanted.

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { relative, sep } from 'node:path';
import type { JobContext } from '../../util/job.ts';
import type { CaptionedImage } from '../image.ts';
import { recordLack } from '../sources/keep-captioned.ts';
import { openSource } from '../sources/open-source.ts';
import { readImages, readParts } from '../sources/resolve.ts';
import type { ReadOptions, Source, SourcePart } from '../sources/source.ts';
import { isUrl } from '../sources/streams.ts';
import { shardChanged } from './images.ts';
import { countsOfLarge } from './source-counts.ts';

/** An image with its index in the whole set. */
export interface IndexedImage extends CaptionedImage {
  readonly index: number;
  /** Relative to the data set, with forward slashes. */
  readonly file: string;
}

/** Images of one part, in the order of their indices. */
export interface IndexedPart {
  readonly images: readonly IndexedImage[];
  /** Frees the temporary storage of the part. */
  close(): Promise<void>;
}

export interface IndexedSource {
  readonly total: number;
  /**
   * Identifies the contents: a hash of the names and captions of all images in their order; of a large source, one of
   * its parts' names, lengths and numbers of images.
   */
  readonly hash: string;
  /** Images without a caption; undefined of a large source. */
  readonly uncaptioned: number | undefined;
  /** The images of the parts with an index that is wanted; a part is read whole, or not at all. */
  parts(isWanted: (from: number, to: number) => boolean): AsyncGenerator<IndexedPart, void>;
}

/**
 * Opens a source. One of more than `whole` images in several parts is read part by part.
 * @throws DataError when there is no such source, no image in it, or it is damaged; InterruptedError
 */
export async function openIndexed(
  data: string,
  whole: number,
  options: Omit<ReadOptions, 'captions' | 'signal'>,
  context: JobContext,
): Promise<IndexedSource> {
  const source = await openSource(data);
  const { signal } = context;
  const counts = await countsOfLarge(source, whole, context);
  const read = { ...options, captions: 'optional', signal } as const;
  return counts === undefined
    ? indexedList(await readImages(data, read), source.base)
    : indexedParts(source, counts, read);
}

/** Images that are listed in memory. @param base folder that file names are relative to */
export function indexedList(list: readonly CaptionedImage[], base: string): IndexedSource {
  const images = indexed(list, 0, base);
  return {
    total: images.length,
    hash: hashOf(images),
    uncaptioned: images.filter(({ captions }) => captions.length === 0).length,
    async *parts(isWanted) {
      if (isWanted(0, images.length)) yield { images, close: async () => {} };
    },
  };
}

/**
 * Images that are read part by part. Where captions are required, an image without one is recorded, and keeps its index.
 * @param counts images in each part
 */
export async function indexedParts(
  { base, parts }: Source,
  counts: Int32Array,
  options: ReadOptions,
): Promise<IndexedSource> {
  let total = 0;
  const placed = parts.map((part, i) => {
    const from = total;
    total += counts[i] as number;
    return { part, from, to: total };
  });
  return {
    total,
    hash: await hashOfParts(placed, base),
    uncaptioned: undefined,
    async *parts(isWanted) {
      const wanted = placed.filter(({ from, to }) => to > from && isWanted(from, to));
      for await (const { part, from, to, opened } of readParts(wanted, options, true)) {
        const { images, close } = opened;
        if (images.length !== to - from) throw shardChanged(part.path, images.length, to - from);
        const lacking =
          options.captions === 'required' ? images.filter(({ captions }) => captions.length === 0) : [];
        for (const image of lacking) recordLack(image, options.faults);
        options.faults?.report(images.length - lacking.length);
        yield { images: indexed(images, from, base), close };
      }
    },
  };
}

const indexed = (images: readonly CaptionedImage[], first: number, base: string): IndexedImage[] =>
  images.map((image, i) => ({ ...image, index: first + i, file: fileOf(image.path, base) }));

const fileOf = (path: string, base: string): string =>
  isUrl(path) ? path : relative(base, path).replaceAll(sep, '/');

function hashOf(images: readonly IndexedImage[]): string {
  const hash = createHash('sha256');
  // JSON has null for an image without captions: the hash of the files in version 1.
  for (const { file, captions, index } of images)
    hash.update(
      `${index > 0 ? '\n' : ''}${JSON.stringify([file, captions.length > 0 ? captions.join('\n') : null])}`,
    );
  return hash.digest('hex');
}

async function hashOfParts(
  parts: readonly { readonly part: SourcePart; readonly from: number; readonly to: number }[],
  base: string,
): Promise<string> {
  const hash = createHash('sha256').update('parts');
  for (const { part, from, to } of parts) {
    const { size } = isUrl(part.path) ? { size: 0 } : await stat(part.path).catch(() => ({ size: -1 }));
    hash.update(`\n${JSON.stringify([fileOf(part.path, base), size, to - from])}`);
  }
  return hash.digest('hex');
}
