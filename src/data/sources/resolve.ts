// Where captioned images come from: all images of a source, whatever its kind (open-source.ts).

import { DataError, InterruptedError } from '../../util/errors.ts';
import type { CaptionedImage } from '../image.ts';
import { Faults } from './faults.ts';
import { keepCaptioned } from './keep-captioned.ts';
import { type OpenSourceOptions, openSource } from './open-source.ts';
import type { ReadOptions, SourcePart } from './source.ts';

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
    for (const image of await readPart(part, { ...options, faults }, source.parts.length > 1))
      images.push(image);
  }
  if (images.length === 0) throw noImages(path, faults);
  const kept = keepCaptioned(images, { ...options, faults });
  faults.report(kept.length);
  return kept;
}

/** The images of a part; a damaged archive among others is recorded. */
async function readPart(
  part: SourcePart,
  options: ReadOptions,
  isOneOfMany: boolean,
): Promise<readonly CaptionedImage[]> {
  try {
    return (await part.read(options)).images;
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw interrupted(part.path);
    if (!isOneOfMany || !(error instanceof DataError) || !DAMAGE.has(error.code)) throw error;
    options.faults?.record({ kind: 'cut-archive', where: part.path, reason: error.message });
    return [];
  }
}

const interrupted = (where: string): InterruptedError =>
  new InterruptedError('stopped while reading the data', { code: 'E_INTERRUPTED', where });

const DAMAGE: ReadonlySet<string> = new Set(['E_ARCHIVE_DAMAGED', 'E_PARQUET_DAMAGED', 'E_ARCHIVE_BOMB']);

function noImages(where: string, faults: Faults): DataError {
  const [first] = faults.counts.find(({ kind }) => kind === 'cut-archive')?.examples ?? [];
  if (first)
    return new DataError(first.reason ?? 'not a whole archive', {
      code: 'E_ARCHIVE_DAMAGED',
      where: first.where,
      fix: 'copy the archive again, or leave it out',
    });
  return new DataError('there is no image in it', { code: 'E_NO_IMAGES', where, fix: 'name other data' });
}
