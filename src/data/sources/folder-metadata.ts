// The lists that Hugging Face's imagefolder data sets have beside their images: metadata.jsonl or metadata.csv, whose
// `file_name` is relative to the list.

import { basename, join, relative, sep } from 'node:path';
import { DataError } from '../../util/errors.ts';
import type { CaptionedImage } from '../image.ts';
import { normalized } from './endings.ts';
import { Faults } from './faults.ts';
import { readListImages } from './lists.ts';
import type { ReadOptions } from './source.ts';

/** Whether a file of a folder may be such a list. */
export const isMetadata = (name: string): boolean => /^metadata\.(jsonl|csv)$/i.test(basename(name));

/** What the lists of a folder say about an image; its name is that of the folder's file in composed form. */
export type Metadata = ReadonlyMap<string, Pick<CaptionedImage, 'captions' | 'lack' | 'label'>>;

/** What a list that is about something else is an error with. */
const OTHER_LIST: ReadonlySet<string | undefined> = new Set([
  'E_NO_IMAGE_COLUMN',
  'E_NO_IMAGES',
  'E_NOT_A_LIST',
  'E_NOT_JSON',
]);

/** Such a list is a separate fault: the images have other captions, or none. */
const UNREADABLE: ReadonlySet<string | undefined> = new Set([
  'E_NOT_TEXT',
  'E_NOT_FOUND',
  'E_NO_PERMISSION',
  'E_UNREADABLE',
  'E_LIST_TOO_LARGE',
]);

/**
 * Reads the lists among the files of a folder. Rows without their image, and lists that cannot be read, are recorded;
 * a list that names no image of the folder is another file.
 * @param lists names relative to the folder @param images the same, of the images
 * @throws DataError when a list has no column that the options name
 */
export async function readMetadata(
  path: string,
  lists: readonly string[],
  images: readonly string[],
  { faults, table }: Pick<ReadOptions, 'faults' | 'table'>,
): Promise<Metadata> {
  const known = new Set(lists.length > 0 ? images.map(normalized) : []);
  const found = new Map<string, Pick<CaptionedImage, 'captions' | 'lack' | 'label'>>();
  for (const list of lists) {
    const where = join(path, list);
    const trial = new Faults();
    const rows = await rowsOf(where, { faults: trial, table });
    if (rows instanceof DataError) {
      faults?.record({ kind: 'list-row', where, reason: rows.message });
      continue;
    }
    const names = rows.map((row) => normalized(relative(path, row.path).split(sep).join('/')));
    if (!names.some((name) => known.has(name))) {
      faults?.record({ kind: 'other-file', where });
      continue;
    }
    // What is wrong with it counts now that it is a list of these images.
    if (trial.counts.length > 0) await readListImages(where, { faults, table }, true);
    for (const [i, name] of names.entries()) {
      const { captions, lack, label } = rows[i] as CaptionedImage;
      if (known.has(name)) found.set(name, { captions, ...(lack && { lack }), ...(label && { label }) });
      else faults?.record({ kind: 'list-row', where: `${where}: ${name}`, reason: 'there is no such image' });
    }
  }
  return found;
}

/** The rows of a list, or why it cannot be read. */
async function rowsOf(
  path: string,
  options: Pick<ReadOptions, 'faults' | 'table'>,
): Promise<readonly CaptionedImage[] | DataError> {
  try {
    return await readListImages(path, options, true);
  } catch (error) {
    if (error instanceof DataError && OTHER_LIST.has(error.code)) return [];
    if (error instanceof DataError && UNREADABLE.has(error.code)) return error;
    throw error;
  }
}
