// Slices of tensors: each replica holds an equal part of every tensor, as ZeRO divides a training state (arXiv
// 1910.02054). A tensor is flattened and padded with zeros; replica r has elements r · S to (r + 1) · S.
//   R replicas, N elements of a tensor, S = ⌈N / R⌉ elements of a slice

import { sizeOf } from '../../util/shape.ts';
import { gather } from '../ops/gather.ts';
import { type Tensor, type Tensor1D, type Tensor2D, tf } from '../tfjs/tf.ts';
import { allGather, replicaCount, replicaNumber } from './collectives.ts';
import { bucketsOf, sumOfRows } from './sums.ts';

export type Shapes = ReadonlyMap<string, readonly number[]>;

/** S of a tensor of this shape. */
export const sliceLength = (shape: readonly number[], replicas: number): number =>
  Math.ceil(sizeOf(shape) / replicas);

/** The slices of all replicas, [R, S]. */
function rowsOf(x: Tensor): Tensor2D {
  const replicas = replicaCount();
  const length = sliceLength(x.shape, replicas);
  const padding = length * replicas - x.size;
  const flat = tf.reshape(x, [-1]) as Tensor1D;
  return tf.reshape(padding === 0 ? flat : tf.pad(flat, [[0, padding]]), [replicas, length]);
}

/** The slice of a tensor that belongs to the replica for which ops are recorded, [S]. It shares no memory with x. */
export function ownSlice(x: Tensor): Tensor1D {
  // A slice of TensorFlow's would be a view that keeps all of x.
  return tf.reshape(gather(rowsOf(x), tf.tensor1d([replicaNumber()], 'int32')), [-1]) as Tensor1D;
}

/**
 * At each replica its slices of Σ x over the replicas, added in their order: the bits are those of `sumAllOverReplicas`
 * by `order`. Each replica sends its tensors once.
 * @param tensors float32, by name; all replicas have the same names and shapes in the same order
 */
export function sumToSlices(tensors: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor1D> {
  const slices = new Map<string, Tensor1D>();
  for (const bucket of bucketsOf(tensors)) {
    const rows = bucket.map(([, tensor]) => rowsOf(tensor));
    const sums = sumOfRows(tf.concat(rows, 1)) as Tensor1D;
    const cut = tf.split(
      sums,
      rows.map(({ shape }) => shape[1]),
    );
    for (const [i, [name]] of bucket.entries()) slices.set(name, cut[i] as Tensor1D);
  }
  return new Map([...tensors.keys()].map((name) => [name, slices.get(name) as Tensor1D]));
}

/** The whole tensors, at each replica. @param shapes of the tensors of which `slices` has this replica's slices */
export function gatherSlices(
  slices: ReadonlyMap<string, Tensor>,
  shapes: Shapes,
): ReadonlyMap<string, Tensor> {
  const whole = new Map<string, Tensor>();
  const sized = new Map(
    [...slices].map(([name, slice]) => [name, { slice, size: sizeOf(shapes.get(name) as number[]) }]),
  );
  for (const bucket of bucketsOf(sized)) {
    const own = bucket.map(([, { slice }]) => slice);
    const rows = tf.reshape(allGather(tf.concat(own)), [replicaCount(), -1]);
    const cut = tf.split(
      rows,
      own.map(({ size }) => size),
      1,
    );
    for (const [i, [name, { size }]] of bucket.entries()) {
      const flat = tf.reshape(cut[i] as Tensor, [-1]);
      const shape = [...(shapes.get(name) as number[])];
      whole.set(name, tf.reshape(flat.size === size ? flat : tf.slice(flat, [0], [size]), shape));
    }
  }
  return new Map([...slices.keys()].map((name) => [name, whole.get(name) as Tensor]));
}
