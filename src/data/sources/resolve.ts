// Where captioned images come from: all images of a source, whatever its kind (open-source.ts).

import { DataError, InterruptedError } from '../../util/errors.ts';
import { prefetch } from '../../util/prefetch.ts';
import type { CaptionedImage } from '../image.ts';
import type { FaultKind } from './fault-kinds.ts';
import { Faults } from './faults.ts';
import { keepCaptioned } from './keep-captioned.ts';
import { type OpenSourceOptions, openSource } from './open-source.ts';
import { type ImageStream, inPlace, type OpenPart, type ReadOptions, type SourcePart } from './source.ts';

/**
 * The images of a source, in an order that depends on its contents only. What is left out is recorded and reported.
 * @throws DataError when there is no such source, no image in it, or it is damaged; see `keepCaptioned`
 */
export async function readImages(
  path: string,
  options: ReadOptions & OpenSourceOptions,
): Promise<CaptionedImage[]> {
  const faults = options.faults ?? new Faults();
  const source = await openSource(path, options);
  const images: CaptionedImage[] = [];
  for (const part of source.parts) {
    if (options.signal?.aborted) throw interrupted(path);
    // Temporary copies stay until the program ends.
    const opened = await readPart(part, { ...options, faults }, source.parts.length > 1);
    for (const image of opened.images) images.push(image);
  }
  if (images.length === 0) throw noImages(path, faults);
  const kept = keepCaptioned(images, { ...options, faults });
  faults.report(kept.length);
  return kept;
}

/**
 * The images of a part; one that is damaged among others is recorded, and has none.
 * @param isOneOfMany the source has other parts
 * @throws DataError when the part cannot be read; InterruptedError
 */
export async function readPart(
  part: SourcePart,
  options: ReadOptions,
  isOneOfMany: boolean,
): Promise<OpenPart> {
  try {
    return await part.read(options);
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw interrupted(part.path);
    const kind = error instanceof DataError && error.code !== undefined ? DAMAGE[error.code] : undefined;
    if (!isOneOfMany || kind === undefined) throw error;
    options.faults?.record({ kind, where: part.path, reason: (error as DataError).message });
    return inPlace([]);
  }
}

/**
 * The parts in their order, the next one read while one is used; the caller closes each.
 * @throws DataError, InterruptedError as `readPart` does
 */
export const readParts = <T extends { readonly part: SourcePart }>(
  parts: Iterable<T>,
  options: ReadOptions,
  isOneOfMany: boolean,
): AsyncGenerator<T & { readonly opened: OpenPart }, void> =>
  prefetch(parts, PARTS_OPEN, async (one) => ({
    ...one,
    opened: await readPart(one.part, options, isOneOfMany),
  }));

/**
 * The images of each part, one after the other: listed in memory, two parts at a time, but for a source of one part that
 * can do without.
 * @throws DataError, InterruptedError as `readPart` does
 */
export async function* readStreams(
  parts: readonly SourcePart[],
  options: ReadOptions,
): AsyncGenerator<ImageStream, void> {
  const [only] = parts;
  if (parts.length === 1 && only?.stream) return yield await only.stream(options);
  const each = parts.map((part) => ({ part }));
  for await (const { opened } of readParts(each, options, parts.length > 1))
    yield { ...opened, total: opened.images.length };
}

/** Parts in memory, the one that is used included. */
const PARTS_OPEN = 2;

export const interrupted = (where: string): InterruptedError =>
  new InterruptedError('stopped while reading the data', { code: 'E_INTERRUPTED', where });

/** Errors about the contents of one part, which do not concern the others, with the kind of finding. */
const DAMAGE: Readonly<Record<string, FaultKind>> = {
  ...fill('cut-archive', ['E_ARCHIVE_DAMAGED', 'E_PARQUET_DAMAGED', 'E_ARCHIVE_BOMB']),
  ...fill('damaged-list', [
    'E_NOT_JSON',
    'E_NOT_A_LIST',
    'E_NOT_TEXT',
    'E_LIST_TOO_LARGE',
    'E_NO_IMAGE_COLUMN',
    'E_NO_IMAGES',
    'E_NOT_A_SOURCE',
  ]),
};

function fill(kind: FaultKind, codes: readonly string[]): Record<string, FaultKind> {
  return Object.fromEntries(codes.map((code) => [code, kind]));
}

/** The DataError for a source without an image: what is the matter with its first damaged part, where there is one. */
export function noImages(where: string, faults: Faults): DataError {
  const first = faults.counts.find(({ kind }) => kind === 'cut-archive' || kind === 'damaged-list');
  const [example] = first?.examples ?? [];
  if (first && example)
    return new DataError(example.reason ?? 'it cannot be read', {
      code: first.kind === 'cut-archive' ? 'E_ARCHIVE_DAMAGED' : 'E_LIST_DAMAGED',
      where: example.where,
      fix: 'copy the file again, or leave it out',
    });
  return new DataError('there is no image in it', { code: 'E_NO_IMAGES', where, fix: 'name other data' });
}
