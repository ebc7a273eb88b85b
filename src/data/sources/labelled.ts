// Labelled images: a folder for each class, or a CSV of file and label.

import { dirname, resolve } from 'node:path';
import { DataError } from '../../util/errors.ts';
import { readTextFile } from '../../util/files.ts';
import { textLines } from './captions.ts';
import { parseCsv } from './csv.ts';
import { readFolder } from './folder.ts';

export interface LabelledImage {
  readonly path: string;
  readonly label: string;
}

const ROW_FIX = 'write rows as photos/one.jpg,cat';

/** Labels, one a line; blank lines do not count. Throws DataError when the file cannot be read or has none. */
export async function readLabels(path: string): Promise<string[]> {
  const labels = textLines(await readTextFile(path, 'file of labels'));
  if (labels.length > 0) return labels;
  throw new DataError('the file has no labels', {
    code: 'E_NO_LABELS',
    where: path,
    fix: 'write a label on each line',
  });
}

/**
 * The images of a folder; the label of each is the name of the top-level folder that holds it.
 * @throws DataError as `readFolder` does, and for an image outside these folders
 */
export async function readClasses(path: string): Promise<LabelledImage[]> {
  const images = await readFolder(path, { captions: 'ignore' });
  return images.map(({ key, path: file }) => {
    const [label, ...rest] = key.split('/') as [string, ...string[]];
    if (rest.length > 0) return { path: file, label };
    throw new DataError('an image is in no class', {
      code: 'E_NO_LABEL',
      where: file,
      fix: 'put each image into the folder of its class: CLASS/NAME.png',
    });
  });
}

/**
 * The rows of a CSV (or TSV): the path of an image, relative to the file, and its label. A first row of `file,label`
 * (or `path`, `image`) is a heading.
 * @throws DataError for a row without a label
 */
export async function readLabelTable(path: string): Promise<LabelledImage[]> {
  const text = await readTextFile(path, 'file of labelled images');
  const separator = text.split('\n', 1)[0]!.includes('\t') ? '\t' : ',';
  const rows = parseCsv(text, separator)
    .map(({ cells, line }) => ({ line, cells: cells.map((cell) => cell.trim()) }))
    .filter(({ cells }) => cells.some((cell) => cell !== ''));
  const hasHeading = /^(file|path|image|filename)$/i.test(rows[0]?.cells[0] ?? '');
  const images = rows.slice(hasHeading ? 1 : 0).map(({ line, cells: [file, label] }) => {
    if (file && label) return { path: resolve(dirname(path), file), label };
    throw new DataError('a row needs a file and a label', {
      code: 'E_NO_LABEL',
      where: `${path}:${line}`,
      fix: ROW_FIX,
    });
  });
  if (images.length > 0) return images;
  throw new DataError('the table has no rows', { code: 'E_NO_LABELS', where: path, fix: ROW_FIX });
}
