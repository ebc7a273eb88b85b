// The layout of a grid: positions of its images and texts in pixels of the finished grid. Renders nothing.

import { type TextAnchor, textWidth, wrapText } from './text.ts';

export type Rgb = readonly [red: number, green: number, blue: number];

export interface GridCell {
  /** RGB, rows × columns × 3. */
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly caption?: string;
  readonly border?: Rgb;
}

export interface GridOptions {
  readonly columns: number;
  /** Factor that images are enlarged by; by default the least integer that makes the widest 128 pixels wide. */
  readonly scale?: number;
  /** `nearest` (the default) keeps pixels square, `lanczos3` smooths them. */
  readonly kernel?: 'nearest' | 'lanczos3';
  readonly title?: string;
  readonly rowLabels?: readonly string[];
  readonly columnLabels?: readonly string[];
}

/** Thickness of the coloured border of an image, in pixels. */
export const BORDER = 4;

const MIN_IMAGE_WIDTH = 128;
const MARGIN = 16;
const GAP = 16;
const CAPTION_LINES = 4;
const TITLE_LINES = 2;
const ROW_LABEL_WIDTH = 160;
const INK = '#24292f';
const PALE_INK = '#57606a';

interface TextStyle {
  readonly size: number;
  readonly color: string;
  readonly anchor: TextAnchor;
}

const TITLE: TextStyle = { size: 20, color: INK, anchor: 'start' };
const COLUMN_LABEL: TextStyle = { size: 14, color: PALE_INK, anchor: 'middle' };
const ROW_LABEL: TextStyle = { size: 14, color: PALE_INK, anchor: 'start' };
const CAPTION: TextStyle = { size: 13, color: INK, anchor: 'middle' };

export interface PlacedImage {
  readonly cell: GridCell;
  readonly left: number;
  readonly top: number;
  /** Size of the enlarged image. */
  readonly width: number;
  readonly height: number;
}

export interface PlacedText extends TextStyle {
  readonly line: string;
  readonly x: number;
  readonly baseline: number;
}

export interface GridLayout {
  readonly width: number;
  readonly height: number;
  readonly images: readonly PlacedImage[];
  readonly texts: readonly PlacedText[];
}

const lineHeight = ({ size }: TextStyle): number => Math.round(size * 1.45);

function stack(lines: readonly string[], x: number, top: number, style: TextStyle): PlacedText[] {
  return lines.map((line, index) => ({
    ...style,
    line,
    x,
    baseline: top + style.size + index * lineHeight(style),
  }));
}

export function layoutGrid(cells: readonly GridCell[], options: GridOptions): GridLayout {
  const widest = Math.max(...cells.map((cell) => cell.width));
  const scale = options.scale ?? Math.max(1, Math.ceil(MIN_IMAGE_WIDTH / widest));
  const enlarged = (length: number): number => Math.max(1, Math.round(length * scale));
  const cellWidth = enlarged(widest);
  const cellHeight = enlarged(Math.max(...cells.map((cell) => cell.height)));
  const textBoxWidth = cellWidth + GAP / 2;

  const rowLabels = (options.rowLabels ?? []).map((label) =>
    wrapText(label, ROW_LABEL_WIDTH, ROW_LABEL.size, 1),
  );
  const labelWidths = rowLabels.flat().map((label) => Math.ceil(textWidth(label, ROW_LABEL.size)) + GAP);
  const left = MARGIN + Math.max(0, ...labelWidths);
  const columns = Math.min(options.columns, cells.length);
  const width = left + columns * (cellWidth + GAP) - GAP + MARGIN;
  const columnLeft = (column: number): number => left + column * (cellWidth + GAP);

  const images: PlacedImage[] = [];
  const texts: PlacedText[] = [];
  let top = MARGIN;

  const title = wrapText(options.title ?? '', width - 2 * MARGIN, TITLE.size, TITLE_LINES);
  texts.push(...stack(title, MARGIN, top, TITLE));
  if (title.length > 0) top += title.length * lineHeight(TITLE) + GAP / 2;

  options.columnLabels?.forEach((label, column) => {
    const lines = wrapText(label, textBoxWidth, COLUMN_LABEL.size, 1);
    texts.push(...stack(lines, columnLeft(column) + cellWidth / 2, top, COLUMN_LABEL));
  });
  if (options.columnLabels) top += lineHeight(COLUMN_LABEL) + GAP / 2;

  for (let first = 0; first < cells.length; first += options.columns) {
    const rowLabel = rowLabels[first / options.columns] ?? [];
    texts.push(...stack(rowLabel, MARGIN, top + (cellHeight - ROW_LABEL.size) / 2, ROW_LABEL));
    const captionTop = top + cellHeight + BORDER + 2;
    let bottom = top + cellHeight;
    cells.slice(first, first + options.columns).forEach((cell, column) => {
      const size = { width: enlarged(cell.width), height: enlarged(cell.height) };
      images.push({
        cell,
        ...size,
        left: columnLeft(column) + Math.floor((cellWidth - size.width) / 2),
        top: top + Math.floor((cellHeight - size.height) / 2),
      });
      const lines = wrapText(cell.caption ?? '', textBoxWidth, CAPTION.size, CAPTION_LINES);
      texts.push(...stack(lines, columnLeft(column) + cellWidth / 2, captionTop, CAPTION));
      if (lines.length > 0) bottom = Math.max(bottom, captionTop + lines.length * lineHeight(CAPTION));
    });
    top = bottom + GAP;
  }
  return { width, height: top - GAP + MARGIN, images, texts };
}
