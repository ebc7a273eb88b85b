// Muon (K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024): the momentum of a matrix is
// replaced by the closest orthogonal matrix, so that what few examples need is learned as fast as what all of them do.
// Plateaus that Adam stays on for thousands of updates end sooner (docs/LOG.md).
//   K matrices of n rows and m columns, n ≤ m

import { inFloat32 } from '../../engine/graph/precision.ts';
import { type Tensor, type Tensor3D, tf } from '../../engine/tfjs/tf.ts';

/** How many matrices stand side by side in each of the weights that Muon updates, by name. */
export type MuonMatrices = ReadonlyMap<string, number>;

/** Newton–Schulz iterations, and the coefficients of x, x³ and x⁵ in them. */
const ITERATIONS = 5;
const [FIRST, THIRD, FIFTH] = [3.4445, -4.775, 2.0315];
const EPSILON = 1e-7;

/** Root mean square of an update's elements in learning rates, about that of Adam (arXiv 2502.16982, section 2.2). */
const UPDATE_SIZE = 0.2;

/** A matrix and where it belongs. */
interface Place {
  readonly name: string;
  readonly isTall: boolean;
  readonly wide: Tensor;
}

/**
 * Orthogonal updates instead of momenta, times 0.2 √max(rows, columns); inside a compiled function. Matrices of a
 * shape are orthogonalized together.
 * @param momenta of each weight by name, [rows, columns of all matrices]
 */
export function orthogonalized(momenta: ReadonlyMap<string, Tensor>, matrices: MuonMatrices) {
  const places = [...momenta].flatMap(([name, momentum]) =>
    tf.split(momentum, matrices.get(name) as number, 1).map((matrix): Place => {
      const [rows, columns] = matrix.shape as [number, number];
      const isTall = rows > columns;
      return { name, isTall, wide: isTall ? tf.transpose(matrix) : matrix };
    }),
  );
  const done = new Map<string, Tensor[]>([...momenta.keys()].map((name) => [name, []]));
  const shapes = new Set(places.map(({ wide }) => wide.shape.join()));
  for (const shape of shapes) {
    const group = places.filter(({ wide }) => wide.shape.join() === shape);
    const updates = tf.unstack(orthogonal(tf.stack(group.map(({ wide }) => wide)) as Tensor3D));
    for (const [i, { name, isTall }] of group.entries()) {
      const update = updates[i] as Tensor;
      done.get(name)!.push(isTall ? tf.transpose(update) : update);
    }
  }
  return new Map([...done].map(([name, updates]) => [name, tf.concat(updates, 1)]));
}

/** x_Knm with all singular values moved to about 1, between 0.7 and 1.2, times 0.2 √m. */
const orthogonal = (x_Knm: Tensor3D): Tensor =>
  inFloat32(() => {
    const norm_K11 = tf.sqrt(tf.sum(tf.square(x_Knm), [1, 2], true));
    let y_Knm: Tensor = tf.div(x_Knm, tf.add(norm_K11, EPSILON));
    for (let i = 0; i < ITERATIONS; i++) {
      const square_Knn: Tensor = tf.matMul(y_Knm, y_Knm, false, true);
      const fourth_Knn: Tensor = tf.matMul(square_Knn, square_Knn);
      const factor_Knn = tf.add(tf.mul(square_Knn, THIRD), tf.mul(fourth_Knn, FIFTH));
      y_Knm = tf.add(tf.mul(y_Knm, FIRST), tf.matMul(factor_Knn, y_Knm));
    }
    return tf.mul(y_Knm, UPDATE_SIZE * Math.sqrt(x_Knm.shape[2]));
  });

/** Floating-point operations of the products above, for weights of these shapes. */
export function muonFlops(shapes: ReadonlyMap<string, readonly number[]>, matrices: MuonMatrices): number {
  let flops = 0;
  for (const [name, count] of matrices) {
    const [rows, columns] = shapes.get(name) as [number, number];
    const [n, m] = [Math.min(rows, columns / count), Math.max(rows, columns / count)];
    flops += count * ITERATIONS * (4 * n * n * m + 2 * n ** 3);
  }
  return flops;
}
