// Sizes of arrays.

/** Number of elements of an array of this shape. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/**
 * The smallest multiple of 16 that is at least `count`. TensorFlow's kernels round every row of a matrix alike when
 * its rows have such a length, so that a row does not depend on the rows beside it.
 */
export const padToMultipleOf16 = (count: number): number => 16 * Math.ceil(count / 16);
