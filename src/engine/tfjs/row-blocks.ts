// Products of matrices a few rows at a time. How a product is rounded depends on its number of rows, and so would a
// row's result on how many others there are; blocks of one size are all rounded alike. So is the layer norm (ops.ts)
// while this lasts.

let block: number | undefined;

/** Rows of a product made now, or undefined for all at once. */
export const rowsOfBlock = (): number | undefined => block;

/** Runs `body`; the products of two matrices it makes take `rows` rows of the first at a time, zeros after its last. */
export function inRowBlocks<T>(rows: number, body: () => T): T {
  const outer = block;
  block = rows;
  try {
    return body();
  } finally {
    block = outer;
  }
}
