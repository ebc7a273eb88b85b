// PowerSGD: gradients of several workers compressed to a low rank, with error feedback (arXiv 1905.13727, algorithms 1
// and 2). For the matrix M of a parameter, its gradient at this worker plus the residual of the steps before,
//   P = M Q, summed over the workers
//   P̂ = orthonormal(P), Q = Mᵀ P̂, residual = M − P̂ Qᵀ, and Q summed over the workers
//   gradient = P̂ Qᵀ; the next step starts with this Q.
// Gradients of shares of a batch add up: there are sums where the paper has means. Columns are made orthonormal by
// Householder reflections, as for DALL·E (arXiv 2102.12092, appendix E), instead of Gram–Schmidt.
//   n rows, m columns of a matrix, r rank

import { orthonormal } from '../../engine/ops/linear-algebra.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Tensor, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import { constant, normal } from '../../nn/parameters.ts';
import { type WeightEntries, Weights } from '../../nn/weights.ts';
import { UsageError } from '../../util/errors.ts';
import { sizeOf } from '../../util/shape.ts';

type Gradients = ReadonlyMap<string, Tensor>;

interface MatrixSize {
  readonly n: number;
  readonly m: number;
}

export class PowerSgd {
  /** Q_mr of each compressed parameter, the same for all workers, named factors.NAME. */
  readonly factors: Weights;
  /** The part of this worker's gradients that is still to be applied, named error.NAME. */
  readonly residuals: Weights;
  /** Sizes of the parameters that are compressed. */
  readonly #sizes: ReadonlyMap<string, MatrixSize>;
  readonly #entries: WeightEntries;
  /** P̂_nr of each compressed parameter, kept from `refine` to `restore`. */
  readonly #bases: ReadonlyMap<string, Variable>;

  /**
   * Compresses parameters of two or more axes, as matrices with the last axis as columns, if that takes fewer numbers.
   * @param rank r
   * @throws UsageError when no parameter becomes smaller
   */
  constructor(runtime: Runtime, prefix: string, entries: WeightEntries, rank: number) {
    const sizes = [...entries].flatMap(([name, { spec }]): [string, MatrixSize][] => {
      const m = spec.shape.at(-1) ?? 1;
      const n = sizeOf(spec.shape) / m;
      return rank * (n + m) < n * m ? [[name, { n, m }]] : [];
    });
    if (sizes.length === 0) {
      throw new UsageError(`no matrix of the model becomes smaller at rank ${rank}`, {
        code: 'E_COMPRESSION_RANK',
        where: 'train.compression.rank',
        fix: 'choose a lower rank, or leave out train.compression',
      });
    }
    this.#entries = entries;
    this.#sizes = new Map(sizes);
    const each = <T>(make: (size: MatrixSize, name: string) => T): Record<string, T> =>
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

  /** This worker's P of each compressed gradient, and the other gradients; in a compiled function, as all methods. */
  project(gradients: Gradients): Gradients {
    return new Map(
      [...gradients].map(([name, gradient]) => [
        name,
        this.#sizes.has(name) ? tf.matMul(this.#matrix(name, gradient), this.#factor(name).read()) : gradient,
      ]),
    );
  }

  /**
   * This worker's Q of each compressed gradient; updates the residuals.
   * @param projected the results of `project`, summed over the workers
   */
  refine(gradients: Gradients, projected: Gradients): Gradients {
    return new Map(
      [...this.#sizes.keys()].map((name) => {
        const matrix = this.#matrix(name, gradients.get(name) as Tensor);
        const basis = orthonormal(projected.get(name) as Tensor2D);
        const factor = tf.matMul(matrix, basis, true, false) as Tensor2D;
        this.#bases.get(name)?.assign(basis);
        this.#residual(name).assign(tf.sub(matrix, tf.matMul(basis, factor, false, true)));
        return [name, factor];
      }),
    );
  }

  /**
   * The gradients to apply, in the shapes of their parameters.
   * @param projected as for `refine`
   * @param refined the results of `refine`, summed over the workers
   */
  restore(projected: Gradients, refined: Gradients): Gradients {
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
    const { n, m } = this.#sizes.get(name) as MatrixSize;
    return tf.add(tf.reshape(gradient, [n, m]), this.#residual(name).read());
  }

  #factor(name: string): Variable {
    return this.factors.entries.get(`factors.${name}`)!.variable;
  }

  #residual(name: string): Variable {
    return this.residuals.entries.get(`error.${name}`)!.variable;
  }
}
