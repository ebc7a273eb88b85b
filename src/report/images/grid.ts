// Pictures side by side with their captions, as one PNG: samples under prompts, originals beside
// reconstructions, snapshots of a training run. Where things stand is grid-layout.ts.

import sharp from 'sharp';
import {
  BORDER,
  type GridCell,
  type GridLayout,
  type GridOptions,
  layoutGrid,
  type PlacedPicture,
  type Rgb,
} from './grid-layout.ts';
import { checkPixels } from './png.ts';
import { textSvg } from './text.ts';

export type { GridCell, GridOptions, Rgb } from './grid-layout.ts';

/** Border colours of samples that show, or do not show, what was asked for. */
export const RIGHT: Rgb = [26, 143, 72];
export const WRONG: Rgb = [214, 64, 36];

/**
 * The cells in rows of `columns`, as a PNG. Cells may differ in size; each is centred in its place.
 *
 * @throws RangeError when there are no cells or a cell's pixels do not fit its size.
 */
export async function imageGrid(cells: readonly GridCell[], options: GridOptions): Promise<Buffer> {
  if (cells.length === 0) throw new RangeError('a grid needs at least one picture');
  for (const cell of cells) checkPixels(cell.pixels, cell.width, cell.height);
  const layout = layoutGrid(cells, options);
  const pictures = await Promise.all(
    layout.pictures.map(async (picture) => ({
      input: await enlarge(picture, options.kernel ?? 'nearest'),
      raw: { width: picture.width, height: picture.height, channels: 3 as const },
      left: picture.left,
      top: picture.top,
    })),
  );
  return sharp({
    create: { width: layout.width, height: layout.height, channels: 3, background: '#ffffff' },
  })
    .composite([{ input: Buffer.from(drawing(layout)), left: 0, top: 0 }, ...pictures])
    .removeAlpha()
    .png()
    .toBuffer();
}

function enlarge({ cell, width, height }: PlacedPicture, kernel: 'nearest' | 'lanczos3'): Promise<Buffer> {
  return sharp(cell.pixels, { raw: { width: cell.width, height: cell.height, channels: 3 } })
    .resize(width, height, { kernel, fit: 'fill' })
    .raw()
    .toBuffer();
}

/** Everything but the pictures: borders and words. */
function drawing({ width, height, pictures, texts }: GridLayout): string {
  const borders = pictures.map((picture) =>
    picture.cell.border === undefined
      ? ''
      : `<rect x="${picture.left - BORDER}" y="${picture.top - BORDER}" width="${picture.width + 2 * BORDER}" ` +
        `height="${picture.height + 2 * BORDER}" rx="${BORDER}" fill="rgb(${picture.cell.border.join()})"/>`,
  );
  const words = texts.map(({ line, x, baseline, size, color, anchor }) =>
    textSvg(line, x, baseline, size, color, anchor),
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${borders.join('')}${words.join('')}</svg>`;
}
