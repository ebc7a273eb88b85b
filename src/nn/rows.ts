// The first rows of a batch that is filled up.

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
