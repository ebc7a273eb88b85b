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

/** Turns a `size` × `size` RGB image upright by its EXIF orientation; 1 and unknown values change nothing. */
export function reorient(pixels: Uint8Array, size: number, orientation: number): Uint8Array {
  const source = SOURCES[orientation];
  if (source === undefined) return pixels;
  const turned = new Uint8Array(pixels.length);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const [fromRow, fromColumn] = source(row, column, size - 1);
      const from = 3 * (fromRow * size + fromColumn);
      turned.set(pixels.subarray(from, from + 3), 3 * (row * size + column));
    }
  }
  return turned;
}

/** Flips an image horizontally. */
export function mirror(pixels: Uint8Array, size: number): Uint8Array {
  return reorient(pixels, size, 2);
}
