// Axes that are filled up, so that each row comes out the same whatever the others are.

/** The next multiple of 16: along an axis of such a length TensorFlow treats the numbers of every row alike. */
export const padToMultipleOf16 = (count: number): number => 16 * Math.ceil(count / 16);
