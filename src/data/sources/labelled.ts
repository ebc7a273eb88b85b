// Images with labels: a folder for each class, or a CSV of file and label.

import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { DataError } from '../../util/errors.ts';
import { readFolder } from './folder.ts';

export interface LabelledImage {
  readonly path: string;
  readonly label: string;
}

/** Labels, a line each; blank lines do not count. Throws DataError when the file cannot be read or has none. */
export async function readLabels(path: string): Promise<string[]> {
  const labels = (await readText(path, 'labels'))
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (labels.length > 0) return labels;
  throw new DataError('the file has no labels', { where: path, fix: 'write a label on each line' });
}

/**
 * The images of a folder, each labelled by the folder right below it that it is in.
 * @throws DataError as `readFolder` does, and for images that are in no such folder
 */
export async function readClasses(path: string): Promise<LabelledImage[]> {
  const images = await readFolder(path, { captions: 'ignore' });
  return images.map(({ key, path: file }) => {
    const [label, ...rest] = key.split('/') as [string, ...string[]];
    if (rest.length > 0) return { path: file, label };
    throw new DataError('an image is in no class', {
      where: file,
      fix: 'put each image into the folder of its class: CLASS/NAME.png',
    });
  });
}

/**
 * The rows of a CSV (or TSV): an image's path, relative to the file, and its label. A first row of `file,label` (or
 * `path`, `image`) is a heading.
 * @throws DataError for a row that has no label
 */
export async function readLabelTable(path: string): Promise<LabelledImage[]> {
  const text = await readText(path, 'table');
  const separator = text.split('\n', 1)[0]!.includes('\t') ? '\t' : ',';
  const rows = text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((line, i) => ({ line: i + 1, cells: cells(line, separator) }))
    .filter(({ cells }) => cells.some((cell) => cell !== ''));
  const isHeading = /^(file|path|image|filename)$/i.test(rows[0]?.cells[0] ?? '');
  const images = rows.slice(isHeading ? 1 : 0).map(({ line, cells: [file, label] }) => {
    if (!file || !label)
      throw new DataError('a row needs a file and a label', {
        where: `${path}:${line}`,
        fix: 'write rows as photos/one.jpg,cat',
      });
    return { path: resolve(dirname(path), file), label };
  });
  if (images.length > 0) return images;
  throw new DataError('the table has no rows', { where: path, fix: 'write rows as photos/one.jpg,cat' });
}

/** The cells of a row; quoted ones may hold the separator, and quotes as two. */
function cells(line: string, separator: string): string[] {
  const found: string[] = [];
  let rest = line;
  for (;;) {
    const quoted = /^\s*"((?:[^"]|"")*)"\s*/.exec(rest);
    const end = quoted ? quoted[0].length : rest.indexOf(separator);
    const raw = quoted ? (quoted[1] as string).replaceAll('""', '"') : end < 0 ? rest : rest.slice(0, end);
    found.push(raw.trim());
    if (end < 0 || end >= rest.length) return found;
    rest = rest.slice(end + 1);
  }
}

async function readText(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new DataError(missing ? `there is no such file of ${what}` : `the file of ${what} cannot be read`, {
      where: path,
      fix: 'check the path and the permissions',
      cause,
    });
  }
}
