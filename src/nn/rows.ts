// Batches and axes that are filled up, so that each row comes out the same whatever the others are.

import { type Tensor, tf } from '../engine/tf.ts';

/** [B, …] → its first `count` rows. */
export const firstRows = <T extends Tensor>(x: T, count: number): T =>
  count === x.shape[0] ? x : (tf.slice(x, 0, count) as T);

/** Zeros after the rows of x, up to `count`. */
export const filledRows = <T extends Tensor>(x: T, count: number): T => {
  const [rows, ...axes] = x.shape as [number, ...number[]];
  if (count === rows) return x;
  return tf.pad(x, [[0, count - rows], ...axes.map((): [number, number] => [0, 0])]) as T;
};

/** The next multiple of 16: along an axis of such a length TensorFlow treats the numbers of every row alike. */
export const filledUp = (count: number): number => 16 * Math.ceil(count / 16);
