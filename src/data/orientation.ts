// Rotating and mirroring square images.

/** The source pixel of each pixel of the upright image, by EXIF orientation; `last` is the last row and column. */
const SOURCES: Readonly<Record<number, (row: number, column: number, last: number) => [number, number]>> = {
  2: (row, column, last) => [row, last - column],
  3: (row, column, last) => [last - row, last - column],
  4: (row, column, last) => [last - row, column],
  5: (row, column) => [column, row],
  6: (row, column, last) => [last - column, row],
  7: (row, column, last) => [last - column, last - row],
  8: (row, column, last) => [column, last - row],
};

/**
 * Turns a `size` × `size` RGB image upright by its EXIF orientation; 1 and unknown values change nothing.
 * @param turned receives the pixels of a turned image; another array than `pixels`
 */
export function reorient(
  pixels: Uint8Array,
  size: number,
  orientation: number,
  turned: Uint8Array = new Uint8Array(pixels.length),
): Uint8Array {
  const source = SOURCES[orientation];
  if (source === undefined) return pixels;
  const indexOf = (row: number, column: number): number => {
    const [fromRow, fromColumn] = source(row, column, size - 1);
    return 3 * (fromRow * size + fromColumn);
  };
  // From one column to the next, the source moves by the same bytes everywhere.
  const step = indexOf(0, 1) - indexOf(0, 0);
  for (let row = 0, to = 0; row < size; row++) {
    for (let column = 0, from = indexOf(row, 0); column < size; column++, from += step, to += 3) {
      turned[to] = pixels[from] as number;
      turned[to + 1] = pixels[from + 1] as number;
      turned[to + 2] = pixels[from + 2] as number;
    }
  }
  return turned;
}

/** Flips an image horizontally, into `mirrored`, another array. */
export const mirror = (pixels: Uint8Array, size: number, mirrored?: Uint8Array): Uint8Array =>
  reorient(pixels, size, 2, mirrored);
