// Learned positions at another length, as open_clip resizes them when it loads weights (model.py, resize_pos_embed and
// resize_text_pos_embed): those of patches by antialiased bicubic interpolation, those of texts linearly.
//   D width, G patches on a side

import { type Taps, tapsOf } from '../../util/resample.ts';

/** Rows of D numbers, each a weighted sum of rows of `table`. */
function combine(
  table: Float32Array,
  width: number,
  rows: readonly Taps[],
  stride = 1,
  offset = 0,
): Float32Array {
  const result = new Float32Array(rows.length * width);
  for (const [row, { first, weights }] of rows.entries())
    for (const [k, weight] of weights.entries())
      for (let d = 0; d < width; d++)
        result[row * width + d]! += weight * (table[((first + k) * stride + offset) * width + d] as number);
  return result;
}

/**
 * Positions of an image tower: the class token's, then the patches' in rows.
 * @param table [G² + 1, D]
 * @returns [to² + 1, D] where G was `from`
 */
export function resizeGrid(table: Float32Array, width: number, from: number, to: number): Float32Array {
  const taps = Array.from({ length: to }, (_, i) => tapsOf(i, from, to, 'bicubic'));
  const patches = table.subarray(width);
  // Columns of each row first, then rows of each column.
  const wide = new Float32Array(from * to * width);
  for (let row = 0; row < from; row++)
    wide.set(
      combine(patches.subarray(row * from * width, (row + 1) * from * width), width, taps),
      row * to * width,
    );
  const result = new Float32Array((to * to + 1) * width);
  result.set(table.subarray(0, width));
  for (let column = 0; column < to; column++) {
    const rows = combine(wide, width, taps, to, column);
    for (let row = 0; row < to; row++)
      result.set(rows.subarray(row * width, (row + 1) * width), (1 + row * to + column) * width);
  }
  return result;
}

/**
 * Positions of a text tower.
 * @param table [from, D]
 * @returns [to, D]
 */
export function resizeLine(table: Float32Array, width: number, from: number, to: number): Float32Array {
  const taps = Array.from({ length: to }, (_, i): Taps => {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const first = Math.min(Math.floor(at), from - 1);
    const share = at - first;
    return first === from - 1 ? { first, weights: [1] } : { first, weights: [1 - share, share] };
  });
  return combine(table, width, taps);
}
