// A contact sheet: the best images of each prompt in order, as one PNG. Images are decoded again, at the sheet's size.

import { basename } from 'node:path';
import { decodeImage } from '../../data/decode.ts';
import type { ImageFile } from '../../data/image.ts';
import { imageGrid } from './grid.ts';

const SIDE = 128;
const COLUMNS = 8;

export interface SheetRow {
  readonly prompt: string;
  readonly images: readonly { readonly file: string; readonly similarity: number }[];
}

/**
 * Renders the sheet. A single prompt is its title; of several prompts, each labels a row.
 * @param show images of a prompt, at most
 * @param files the images, some of which may be in archives
 */
export async function contactSheet(
  rows: readonly SheetRow[],
  show: number,
  files: readonly ImageFile[],
): Promise<Buffer> {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const [only] = rows;
  const columns =
    rows.length > 1 ? Math.min(show, Math.max(...rows.map(({ images }) => images.length))) : COLUMNS;
  const cells = await Promise.all(
    rows
      .flatMap(({ images }) => images.slice(0, show))
      .map(async ({ file, similarity }) => ({
        pixels: await decodeImage(byPath.get(file) ?? file, { size: SIDE, crop: 'center' }),
        width: SIDE,
        height: SIDE,
        caption: `${similarity.toFixed(3)} ${basename(file)}`,
      })),
  );
  return imageGrid(cells, {
    columns,
    scale: 1,
    ...(rows.length > 1 ? { rowLabels: rows.map(({ prompt }) => prompt) } : { title: only?.prompt ?? '' }),
  });
}
