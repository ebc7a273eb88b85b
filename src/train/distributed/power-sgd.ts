// Gradients of several workers compressed to a low rank: PowerSGD with error feedback (arXiv 1905.13727, algorithms 1
// and 2). For the matrix M of a parameter, its gradient at this worker plus the error kept from the steps before,
//   P = M Q, summed over the workers
//   P̂ = orthonormal(P), Q = Mᵀ P̂, error = M − P̂ Qᵀ, and Q summed over the workers
//   gradient = P̂ Qᵀ, and Q is what the next step begins with.
// Shares of the batch have gradients that add up: sums stand where the paper has means. Columns are made orthonormal by
// Householder reflections, as DALL·E's were (arXiv 2102.12092, appendix E), in place of Gram–Schmidt.
//   n rows, m columns of a matrix, r rank

import { orthonormal } from '../../engine/ops/linear-algebra.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Tensor, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import { constant, normal } from '../../nn/parameters.ts';
import { type WeightEntries, Weights } from '../../nn/weights.ts';
import { UsageError } from '../../util/errors.ts';
import { sizeOf } from '../../util/shape.ts';

type Tensors = ReadonlyMap<string, Tensor>;

interface Size {
  readonly n: number;
  readonly m: number;
}

export class PowerSgd {
  /** Q_mr of each compressed parameter, the same for all workers, named factors.NAME. */
  readonly factors: Weights;
  /** What this worker's gradients have lost so far and is still to come, named error.NAME. */
  readonly residuals: Weights;
  /** Those that are compressed. */
  readonly #sizes: ReadonlyMap<string, Size>;
  readonly #entries: WeightEntries;
  /** P̂_nr, from `refine` to `restore`. */
  readonly #bases: ReadonlyMap<string, Variable>;

  /**
   * Parameters of two axes and more are compressed as matrices of their last axis, where that leaves fewer numbers.
   * @throws UsageError when there are none
   */
  constructor(runtime: Runtime, prefix: string, entries: WeightEntries, rank: number) {
    const sizes = [...entries].flatMap(([name, { spec }]): [string, Size][] => {
      const m = spec.shape.at(-1) ?? 1;
      const n = sizeOf(spec.shape) / m;
      return rank * (n + m) < n * m ? [[name, { n, m }]] : [];
    });
    if (sizes.length === 0) {
      throw new UsageError(`no matrix of the model becomes smaller at rank ${rank}`, {
        where: 'train.compression.rank',
        fix: 'choose a lower rank, or leave out train.compression',
      });
    }
    this.#entries = entries;
    this.#sizes = new Map(sizes);
    const each = <T>(make: (size: Size, name: string) => T): Record<string, T> =>
      Object.fromEntries(sizes.map(([name, size]) => [name, make(size, name)]));
    this.factors = new Weights(runtime, `${prefix}/factors`, {
      factors: each(({ m }) => normal([m, rank], 1)),
    });
    this.residuals = new Weights(runtime, `${prefix}/error`, {
      error: each(({ n, m }) => constant([n, m], 0)),
    });
    this.#bases = new Map(
      sizes.map(([name, { n }]) => [name, runtime.variable(`${prefix}/basis/${name}`, [n, rank])]),
    );
  }

  /** This worker's P of each compressed gradient, and the others as they are; inside a compiled function, as all here. */
  project(gradients: Tensors): Tensors {
    return new Map(
      [...gradients].map(([name, gradient]) => [
        name,
        this.#sizes.has(name) ? tf.matMul(this.#matrix(name, gradient), this.#factor(name).read()) : gradient,
      ]),
    );
  }

  /**
   * This worker's Q of each compressed gradient; keeps the errors.
   * @param projected the sums over the workers of what `project` gave
   */
  refine(gradients: Tensors, projected: Tensors): Tensors {
    return new Map(
      [...this.#sizes.keys()].map((name) => {
        const matrix = this.#matrix(name, gradients.get(name) as Tensor);
        const basis = orthonormal(projected.get(name) as Tensor2D);
        const factor = tf.matMul(matrix, basis, true, false) as Tensor2D;
        this.#bases.get(name)?.assign(basis);
        this.#error(name).assign(tf.sub(matrix, tf.matMul(basis, factor, false, true)));
        return [name, factor];
      }),
    );
  }

  /**
   * The gradients to apply, in the shapes of their parameters.
   * @param projected as for `refine`
   * @param refined the sums over the workers of what `refine` gave
   */
  restore(projected: Tensors, refined: Tensors): Tensors {
    return new Map(
      [...this.#entries].map(([name, { spec }]) => {
        const basis = this.#bases.get(name);
        if (!basis) return [name, projected.get(name) as Tensor];
        const factor = refined.get(name) as Tensor2D;
        this.#factor(name).assign(factor);
        return [name, tf.reshape(tf.matMul(basis.read() as Tensor2D, factor, false, true), [...spec.shape])];
      }),
    );
  }

  #matrix(name: string, gradient: Tensor): Tensor2D {
    const { n, m } = this.#sizes.get(name) as Size;
    return tf.add(tf.reshape(gradient, [n, m]), this.#error(name).read());
  }

  #factor(name: string): Variable {
    return this.factors.entries.get(`factors.${name}`)!.variable;
  }

  #error(name: string): Variable {
    return this.residuals.entries.get(`error.${name}`)!.variable;
  }
}
