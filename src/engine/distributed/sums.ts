// Sums over the replicas, the same bits at each of them: of one tensor, or of many tensors in buckets, so that the sum of
// the last layers' gradients can start while those of the first layers are still being computed.
//   R replicas, N elements, S = ⌈N / R⌉ elements of a slice

import { type Tensor, type Tensor1D, tf } from '../tfjs/tf.ts';
import { allGather, allReduce, allToAll, type ReduceAlgorithm, replicaCount } from './collectives.ts';

/**
 * `order` adds the replicas' tensors one after the other, as accumulation over as many parts does, so the sum has the
 * same bits; the others are TensorFlow's all-reduces, whose order depends on where an element lies. All send as much.
 */
export type SumAlgorithm = 'order' | ReduceAlgorithm;

/** Bytes of a bucket. Measured: smaller ones cost more calls, larger ones start later. */
const BUCKET_BYTES = 4 * 2 ** 20;
const FLOAT_BYTES = 4;

/** Σ x over the replicas. @param x float32 */
export function sumOverReplicas(x: Tensor, algorithm: SumAlgorithm): Tensor {
  if (replicaCount() === 1) return x;
  return algorithm === 'order'
    ? tf.reshape(sumInOrder(tf.reshape(x, [-1])), x.shape)
    : allReduce(x, algorithm);
}

/** Each replica adds up its slice of all replicas' rows, then all gather the slices: N elements. */
function sumInOrder(x_N: Tensor1D): Tensor {
  const replicas = replicaCount();
  const slice = Math.ceil(x_N.size / replicas);
  const padding = slice * replicas - x_N.size;
  const padded = padding === 0 ? x_N : tf.pad(x_N, [[0, padding]]);
  const sums = allGather(sumOfRows(tf.reshape(padded, [replicas, slice])));
  return padding === 0 ? sums : tf.slice(sums, [0], [x_N.size]);
}

/**
 * At replica r: the sum of row r of x over the replicas; in their order, which takes many ops of many replicas, or, by
 * the other algorithms, in TensorFlow's. @param x [R, …] @returns x.shape without R
 */
export function sumOfRows(x: Tensor, algorithm: SumAlgorithm = 'order'): Tensor {
  const rows = allToAll(x);
  return algorithm === 'order' ? addInOrder(tf.unstack(rows)) : tf.sum(rows, 0);
}

/** Tensors that TensorFlow's AddN adds one after the other; of more it adds some among themselves first. */
const ADDENDS = 8;

/** ((a + b) + c) + …, rounded each time. */
function addInOrder([first, ...others]: readonly Tensor[]): Tensor {
  const { shape } = first as Tensor;
  let sum = first as Tensor;
  for (let i = 0; i < others.length; i += ADDENDS - 1) {
    // TensorFlow would merge sums of one shape into a single AddN.
    const own = (i / (ADDENDS - 1)) % 2 === 0 ? [...shape] : [1, ...shape];
    const addends = [sum, ...others.slice(i, i + ADDENDS - 1)].map((tensor) => tf.reshape(tensor, own));
    sum = tf.addN(addends);
  }
  return tf.reshape(sum, shape);
}

/**
 * Σ over the replicas of each tensor.
 * @param tensors float32, by name; all replicas have the same names and shapes in the same order
 */
export function sumAllOverReplicas(
  tensors: ReadonlyMap<string, Tensor>,
  algorithm: SumAlgorithm,
): ReadonlyMap<string, Tensor> {
  if (replicaCount() === 1) return tensors;
  const sums = new Map<string, Tensor>();
  for (const bucket of bucketsOf(tensors)) {
    const row = tf.concat(bucket.map(([, tensor]) => tf.reshape(tensor, [-1])));
    const cut = tf.split(
      sumOverReplicas(row, algorithm),
      bucket.map(([, { size }]) => size),
    );
    for (const [i, [name, { shape }]] of bucket.entries())
      sums.set(name, tf.reshape(cut[i] as Tensor, shape));
  }
  return new Map([...tensors.keys()].map((name) => [name, sums.get(name) as Tensor]));
}

/** The tensors of each replica, in their order: many small ones in one exchange. */
export function gatherFromReplicas(tensors: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor>[] {
  if (replicaCount() === 1 || tensors.size === 0) return [tensors];
  const row = tf.concat([...tensors.values()].map((tensor) => tf.reshape(tensor, [-1])));
  const sizes = [...tensors.values()].map(({ size }) => size);
  return tf.unstack(allGather(tf.expandDims(row, 0))).map((of) => {
    const parts = tf.split(of, sizes);
    return new Map([...tensors].map(([name, { shape }], i) => [name, tf.reshape(parts[i] as Tensor, shape)]));
  });
}

/** The tensors from the last to the first, of which the backward pass is done first, in buckets. */
export function bucketsOf<T extends { readonly size: number }>(
  tensors: ReadonlyMap<string, T>,
): [name: string, tensor: T][][] {
  const buckets: [string, T][][] = [];
  let room = 0;
  for (const [name, tensor] of [...tensors].reverse()) {
    const bytes = FLOAT_BYTES * tensor.size;
    if (room < bytes || buckets.length === 0) {
      buckets.push([]);
      room = BUCKET_BYTES;
    }
    buckets.at(-1)?.push([name, tensor]);
    room -= bytes;
  }
  return buckets;
}
