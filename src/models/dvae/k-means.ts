// k-means on the host: k-means++ seeding (Arthur & Vassilvitskii 2007), then Lloyd's iterations.
// Points and centres are rows of flat arrays.
//   M points, F width of a point, V centres

import { tf } from '../../engine/tfjs/tf.ts';
import type { RandomStream } from '../../util/random.ts';

/** Points per chunk, which bounds the memory of the distances: 16 MiB for 512 centres. */
const CHUNK_ROWS = 8192;

export interface Clusters {
  /** [V, F] */
  readonly centres: Float32Array;
  /** Index of the closest centre of each point, [M]. */
  readonly assignment: Int32Array;
  /** Mean squared distance of a point to its centre. */
  readonly error: number;
}

/**
 * Clusters points around centres. A centre without points keeps its position. With fewer distinct points than centres,
 * some centres coincide.
 * @param points [M, F], at least one
 * @param width F
 * @param count V
 */
export function kMeans(
  points: Float32Array,
  width: number,
  count: number,
  random: RandomStream,
  iterations = 12,
): Clusters {
  let centres = seedCentres(points, width, count, random);
  let clusters = assign(points, width, centres);
  for (let iteration = 0; iteration < iterations; iteration++) {
    const before = clusters.error;
    centres = means(points, width, centres, clusters.assignment);
    clusters = assign(points, width, centres);
    if (clusters.error === before) break;
  }
  return { centres, ...clusters };
}

/**
 * Each centre is a point, sampled with a probability proportional to its squared distance from the closest centre so
 * far.
 */
function seedCentres(points: Float32Array, width: number, count: number, random: RandomStream): Float32Array {
  const rows = points.length / width;
  const centres = new Float32Array(count * width);
  const distances = new Float64Array(rows).fill(Number.POSITIVE_INFINITY);
  let chosen = random.integer(rows);
  for (let centre = 0; centre < count; centre++) {
    const start = chosen * width;
    centres.set(points.subarray(start, start + width), centre * width);
    let total = 0;
    for (let row = 0; row < rows; row++) {
      const distance = Math.min(distances[row]!, squaredDistance(points, row * width, points, start, width));
      distances[row] = distance;
      total += distance;
    }
    chosen = pickIndex(distances, random.uniform(0, total));
  }
  return centres;
}

/** The first index at which the running sum of `weights` exceeds `threshold`; the last one otherwise. */
function pickIndex(weights: Float64Array, threshold: number): number {
  let sum = 0;
  const index = weights.findIndex((weight) => {
    sum += weight;
    return sum > threshold;
  });
  return index === -1 ? weights.length - 1 : index;
}

function squaredDistance(a: Float32Array, i: number, b: Float32Array, j: number, width: number): number {
  let sum = 0;
  for (let k = 0; k < width; k++) {
    const difference = a[i + k]! - b[j + k]!;
    sum += difference * difference;
  }
  return sum;
}

/** The closest centre of each point: ‖x − c‖² is least where x·c − ‖c‖²/2 is largest. Runs eagerly, in chunks. */
function assign(points: Float32Array, width: number, centres: Float32Array): Omit<Clusters, 'centres'> {
  const rows = points.length / width;
  const assignment = new Int32Array(rows);
  for (let row = 0; row < rows; row += CHUNK_ROWS) {
    const chunk = points.subarray(row * width, (row + CHUNK_ROWS) * width);
    assignment.set(closest(chunk, width, centres), row);
  }
  const error = assignment.reduce(
    (sum, centre, row) => sum + squaredDistance(points, row * width, centres, centre * width, width),
    0,
  );
  return { assignment, error: error / rows };
}

function closest(points: Float32Array, width: number, centres: Float32Array): Int32Array {
  return tf.tidy(() => {
    const centres_VF = tf.tensor2d(centres, [centres.length / width, width]);
    const products_MV = tf.matMul(
      tf.tensor2d(points, [points.length / width, width]),
      centres_VF,
      false,
      true,
    );
    const halfSquares_V = tf.mul(tf.sum(tf.square(centres_VF), 1), 0.5);
    return tf.argMax(tf.sub(products_MV, halfSquares_V), 1).dataSync() as Int32Array;
  });
}

/** The mean of each cluster; the old centre of an empty one. */
function means(
  points: Float32Array,
  width: number,
  centres: Float32Array,
  assignment: Int32Array,
): Float32Array {
  const count = centres.length / width;
  const sums = new Float64Array(centres.length);
  const sizes = new Int32Array(count);
  assignment.forEach((centre, row) => {
    sizes[centre]! += 1;
    for (let k = 0; k < width; k++) sums[centre * width + k]! += points[row * width + k]!;
  });
  return centres.map((old, i) => {
    const size = sizes[Math.floor(i / width)]!;
    return size === 0 ? old : sums[i]! / size;
  });
}
