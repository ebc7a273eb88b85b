// Labelled images: a folder for each class, or a table of file and label.

import { dirname, resolve } from 'node:path';
import { DataError } from '../../util/errors.ts';
import type { ImageFile } from '../image.ts';
import { textLines } from './captions.ts';
import { Faults } from './faults.ts';
import { columnNames, findColumn } from './list-entries.ts';
import { readListText } from './lists.ts';
import { readImages } from './resolve.ts';
import type { ReadOptions } from './source.ts';
import { readTable } from './table.ts';

export interface LabelledImage {
  readonly path: string;
  readonly label: string;
}

/** Labels, one a line; blank lines do not count. Throws DataError when the file cannot be read or has none. */
export async function readLabels(path: string): Promise<string[]> {
  const labels = textLines((await readListText(path, 'file of labels')).text);
  if (labels.length > 0) return labels;
  throw new DataError('the file has no labels', {
    code: 'E_NO_LABELS',
    where: path,
    fix: 'write a label on each line',
  });
}

/** An image as far as its class is concerned. */
export interface ClassedImage extends ImageFile {
  readonly key: string;
  readonly label?: string;
  /** Whether its key begins with the name of an archive. */
  readonly isArchived: boolean;
}

/**
 * The labelled images of a source (`withClasses`).
 * @throws DataError as `readImages` and `withClasses` do
 */
export async function readClasses(
  path: string,
  faults = new Faults(),
  options: Pick<ReadOptions, 'table' | 'signal'> = {},
): Promise<LabelledImage[]> {
  const images = await readImages(path, { ...options, captions: 'ignore', faults });
  return withClasses(
    images.map((image) => ({ ...image, isArchived: image.region !== undefined })),
    path,
    faults,
  );
}

/**
 * Images with their class: the label that the source has (.cls in tars, a label column), else the name of the top-level
 * folder that holds the image. Images without one are recorded.
 * @throws DataError when no image has a label
 */
export function withClasses(
  images: readonly ClassedImage[],
  path: string,
  faults = new Faults(),
): LabelledImage[] {
  const labelled = images.flatMap((image): LabelledImage[] => {
    const label = image.label ?? folderOf(image);
    if (label !== undefined) return [{ ...image, label }];
    faults.record({ kind: 'no-label', where: image.path });
    return [];
  });
  faults.report(0);
  if (labelled.length > 0) return labelled;
  throw new DataError('no image is in a class', {
    code: 'E_NO_LABEL',
    where: images[0]?.path ?? path,
    fix: 'put each image into the folder of its class: CLASS/NAME.png',
  });
}

/** The top-level folder of an image; in a tar, below the archive's own name. */
const folderOf = ({ key, isArchived }: ClassedImage): string | undefined =>
  key.split('/').slice(isArchived ? 1 : 0, -1)[0];

/**
 * The rows of a table: the path of an image, relative to the file, and its label. A first row with names of columns is a
 * heading. Rows without a label are recorded.
 * @throws DataError when the file cannot be read, or no row has a label
 */
export async function readLabelTable(path: string, faults = new Faults()): Promise<LabelledImage[]> {
  const { text } = await readListText(path, 'file of labelled images');
  const names = columnNames();
  const { header, rows } = readTable(text, { isWanted: (name) => findColumn([name], names.image) === 0 });
  const [file, label] = [findColumn(header, names.image), findColumn(header, names.label)];
  const all = file >= 0 ? rows : [{ cells: header, line: 1 }, ...rows];
  const images = all.flatMap(({ cells, line }): LabelledImage[] => {
    const [name, text] = [cells[Math.max(0, file)]?.trim(), cells[label >= 0 ? label : 1]?.trim()];
    if (name && text) return [{ path: resolve(dirname(path), name), label: text }];
    if (cells.some((cell) => cell.trim() !== ''))
      faults.record({ kind: 'no-label', where: `${path}:${line}`, reason: 'a row needs a file and a label' });
    return [];
  });
  faults.report(0);
  if (images.length > 0) return images;
  throw new DataError('no row of the table has a file and a label', {
    code: 'E_NO_LABELS',
    where: path,
    fix: 'write rows as photos/one.jpg,cat',
  });
}
