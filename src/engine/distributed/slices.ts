// Slices of tensors: each replica holds an equal part of every tensor, as ZeRO divides a training state (arXiv
// 1910.02054). A tensor is flattened and padded with zeros; replica r has elements r · S to (r + 1) · S.
//   R replicas, N elements of a tensor, S = ⌈N / R⌉ elements of a slice

import { sizeOf } from '../../util/shape.ts';
import { gather } from '../ops/gather.ts';
import { withGradient } from '../ops/gradient.ts';
import { withControlDependency } from '../ops/recompute.ts';
import { type Tensor, type Tensor1D, type Tensor2D, tf } from '../tfjs/tf.ts';
import { allGather, replicaCount, replicaNumber } from './collectives.ts';
import { bucketsOf, type SumAlgorithm, sumOfRows } from './sums.ts';

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
 * At each replica its slices of Σ x over the replicas. By `order` the bits are those of `sumAllOverReplicas`. Each
 * replica sends its tensors once.
 * @param tensors float32, by name; all replicas have the same names and shapes in the same order
 */
export function sumToSlices(
  tensors: ReadonlyMap<string, Tensor>,
  algorithm: SumAlgorithm,
): ReadonlyMap<string, Tensor1D> {
  const slices = new Map<string, Tensor1D>();
  for (const bucket of bucketsOf(tensors)) {
    const rows = bucket.map(([, tensor]) => rowsOf(tensor));
    const sums = sumOfRows(tf.concat(rows, 1), algorithm) as Tensor1D;
    const cut = tf.split(
      sums,
      rows.map(({ shape }) => shape[1]),
    );
    for (const [i, [name]] of bucket.entries()) slices.set(name, cut[i] as Tensor1D);
  }
  return new Map([...tensors.keys()].map((name) => [name, slices.get(name) as Tensor1D]));
}

/** The row of a bucket's slices, gathered: [R, ΣS]; its gradient goes to the slices, summed over the replicas. */
function gatherRow(row: Tensor, { awaited, algorithm }: WholeOptions): Tensor {
  return withGradient((_save, input) => {
    const own = awaited ? withControlDependency(input as Tensor, awaited) : (input as Tensor);
    return {
      value: tf.reshape(allGather(own), [replicaCount(), -1]),
      gradFunc: (dy) => [sumOfRows(dy, algorithm)],
    };
  }, row);
}

export interface WholeOptions {
  /** Nothing is gathered before it is computed. */
  readonly awaited?: Tensor;
  /** How gradients are summed. */
  readonly algorithm?: SumAlgorithm;
}

/**
 * The whole tensors of which each replica has slices, at each replica. The gradient of a slice is that of the whole
 * tensor, summed over the replicas.
 * @param shapes of the whole tensors, one for each slice
 */
export function wholeOf(
  slices: readonly Tensor[],
  shapes: readonly (readonly number[])[],
  options: WholeOptions = {},
): Tensor[] {
  const whole: Tensor[] = [];
  const sized = new Map(shapes.map((shape, i) => [String(i), { i, size: sizeOf(shape) }]));
  for (const bucket of bucketsOf(sized).map((names) => names.map(([, { i }]) => i))) {
    const own = bucket.map((i) => slices[i] as Tensor);
    const row = own.length === 1 ? (own[0] as Tensor) : tf.concat(own);
    const rows = gatherRow(row, options);
    const cut =
      own.length === 1
        ? [rows]
        : tf.split(
            rows,
            own.map(({ size }) => size),
            1,
          );
    for (const [position, i] of bucket.entries()) {
      const shape = [...(shapes[i] as number[])];
      const flat = tf.reshape(cut[position] as Tensor, [-1]);
      const size = sizeOf(shape);
      whole[i] = tf.reshape(flat.size === size ? flat : tf.slice(flat, [0], [size]), shape);
    }
  }
  return whole;
}

/** The whole tensors, at each replica. @param shapes of the tensors of which `slices` has this replica's slices */
export function gatherSlices(
  slices: ReadonlyMap<string, Tensor>,
  shapes: Shapes,
): ReadonlyMap<string, Tensor> {
  const names = [...slices.keys()];
  const whole = wholeOf(
    [...slices.values()],
    names.map((name) => shapes.get(name) as readonly number[]),
  );
  return new Map(names.map((name, i) => [name, whole[i] as Tensor]));
}
