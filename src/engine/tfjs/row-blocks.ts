// Matrix products in blocks of a fixed number of rows. The rounding of a product depends on its number of rows, so a
// row's result would depend on the size of its batch; blocks of one size are all rounded alike. The layer norm switches
// to ops with the same property inside the scope.

let block: number | undefined;

/** Rows of a block, or undefined outside `inRowBlocks`. */
export const rowsOfBlock = (): number | undefined => block;

/**
 * Runs `body`; its products of two matrices take `rows` rows of the first at a time, the last block padded with zeros.
 */
export function inRowBlocks<T>(rows: number, body: () => T): T {
  const outer = block;
  block = rows;
  try {
    return body();
  } finally {
    block = outer;
  }
}
