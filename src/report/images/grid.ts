// A grid of images with captions, as one PNG: samples with prompts, originals beside reconstructions, validation images
// of a training run. Positions come from grid-layout.ts.

import sharp from 'sharp';
import {
  BORDER,
  type GridCell,
  type GridLayout,
  type GridOptions,
  layoutGrid,
  type PlacedImage,
  type Rgb,
} from './grid-layout.ts';
import { checkPixels } from './png.ts';
import { textSvg } from './text.ts';

/** Border colours of samples that do, or do not, match their prompt. */
export const RIGHT: Rgb = [26, 143, 72];
export const WRONG: Rgb = [214, 64, 36];

/**
 * Renders the cells in rows of `columns`, as a PNG. Cells may differ in size; each is centred.
 * @throws RangeError when there are no cells, or a cell's pixels do not match its size
 */
export async function imageGrid(cells: readonly GridCell[], options: GridOptions): Promise<Buffer> {
  if (cells.length === 0) throw new RangeError('a grid needs at least one image');
  for (const cell of cells) checkPixels(cell.pixels, cell.width, cell.height);
  const layout = layoutGrid(cells, options);
  const images = await Promise.all(
    layout.images.map(async (image) => ({
      input: await enlarge(image, options.kernel ?? 'nearest'),
      raw: { width: image.width, height: image.height, channels: 3 as const },
      left: image.left,
      top: image.top,
    })),
  );
  return sharp({
    create: { width: layout.width, height: layout.height, channels: 3, background: '#ffffff' },
  })
    .composite([{ input: Buffer.from(overlaySvg(layout)), left: 0, top: 0 }, ...images])
    .removeAlpha()
    .png()
    .toBuffer();
}

function enlarge({ cell, width, height }: PlacedImage, kernel: 'nearest' | 'lanczos3'): Promise<Buffer> {
  return sharp(cell.pixels, { raw: { width: cell.width, height: cell.height, channels: 3 } })
    .resize(width, height, { kernel, fit: 'fill' })
    .raw()
    .toBuffer();
}

/** The borders and texts as SVG. */
function overlaySvg({ width, height, images, texts }: GridLayout): string {
  const borders = images.map((image) =>
    image.cell.border === undefined
      ? ''
      : `<rect x="${image.left - BORDER}" y="${image.top - BORDER}" width="${image.width + 2 * BORDER}" ` +
        `height="${image.height + 2 * BORDER}" rx="${BORDER}" fill="rgb(${image.cell.border.join()})"/>`,
  );
  const lines = texts.map(({ line, ...style }) => textSvg(line, style));
  const size = `width="${width}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size}>${borders.join('')}${lines.join('')}</svg>`;
}
