// Padding that makes each row of a result independent of the other rows.

/** The next multiple of 16. Along an axis of such a length TensorFlow's ops round every row alike. */
export const padToMultipleOf16 = (count: number): number => 16 * Math.ceil(count / 16);
