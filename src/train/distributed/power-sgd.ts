// PowerSGD: gradients of several replicas compressed to a low rank, with error feedback (arXiv 1905.13727, algorithms 1
// and 2). For the matrix M of a parameter, its gradient at a replica plus the residual of the steps before,
//   P = M Q, summed over the replicas
//   P̂ = orthonormal(P), Q = Mᵀ P̂, residual = M − P̂ Qᵀ, and Q summed over the replicas
//   gradient = P̂ Qᵀ; the next step starts with this Q.
// Gradients of shares of a batch add up: there are sums where the paper has means. Columns are made orthonormal by
// Householder reflections, as for DALL·E (arXiv 2102.12092, appendix E), instead of Gram–Schmidt.
//   n rows, m columns of a matrix, r rank

import { eachReplica } from '../../engine/distributed/replicas.ts';
import { orthonormal } from '../../engine/ops/linear-algebra.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Tensor, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import { constant, normal } from '../../nn/parameters.ts';
import { type WeightEntries, Weights } from '../../nn/weights.ts';
import { UsageError } from '../../util/errors.ts';
import { sizeOf } from '../../util/shape.ts';

type Gradients = ReadonlyMap<string, Tensor>;
type Matrices = ReadonlyMap<string, Tensor2D>;

interface MatrixSize {
  readonly n: number;
  readonly m: number;
}

export class PowerSgd {
  /** Q_mr of each compressed parameter, the same at all replicas, named factors.NAME. */
  readonly factors: Weights;
  /** The part of a replica's gradients that is still to be applied, named error.NAME. */
  readonly residuals: Weights;
  /** Sizes of the parameters that are compressed. */
  readonly #sizes: ReadonlyMap<string, MatrixSize>;

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
    this.#sizes = new Map(sizes);
    const each = <T>(make: (size: MatrixSize, name: string) => T): Record<string, T> =>
      Object.fromEntries(sizes.map(([name, size]) => [name, make(size, name)]));
    this.factors = new Weights(runtime, `${prefix}/factors`, {
      factors: each(({ m }) => normal([m, rank], 1)),
    });
    this.residuals = new Weights(runtime, `${prefix}/error`, {
      error: each(({ n, m }) => constant([n, m], 0)),
    });
  }

  /**
   * The gradients to apply, at each replica of this process: their sums to the rank of the compression, and those of
   * the other parameters whole. Updates factors and residuals; in a compiled function.
   * @param own gradients of each replica
   * @param sum over all replicas
   */
  sum(own: readonly Gradients[], sum: (each: readonly Gradients[]) => readonly Gradients[]): Gradients[] {
    const matrices = eachReplica((r) => this.#matrices(own[r] as Gradients));
    const projected = sum(
      eachReplica((r) =>
        mapped(own[r] as Gradients, (gradient, name) => {
          const matrix = matrices[r]?.get(name);
          return matrix ? tf.matMul(matrix, this.#factor(name).read() as Tensor2D) : gradient;
        }),
      ),
    );
    const bases = eachReplica((r) =>
      mapped(matrices[r] as Matrices, (_, name) => orthonormal(projected[r]?.get(name) as Tensor2D)),
    );
    const refined = sum(
      eachReplica((r) =>
        mapped(matrices[r] as Matrices, (matrix, name) => {
          const basis = bases[r]?.get(name) as Tensor2D;
          const factor = tf.matMul(matrix, basis, true, false) as Tensor2D;
          this.#residual(name).assign(tf.sub(matrix, tf.matMul(basis, factor, false, true)));
          return factor;
        }),
      ),
    );
    return eachReplica((r) =>
      mapped(own[r] as Gradients, (gradient, name) => {
        const basis = bases[r]?.get(name);
        if (!basis) return projected[r]?.get(name) as Tensor;
        const factor = refined[r]?.get(name) as Tensor2D;
        this.#factor(name).assign(factor);
        return tf.reshape(tf.matMul(basis, factor, false, true), gradient.shape);
      }),
    );
  }

  /** A replica's matrices M of the compressed parameters. */
  #matrices(gradients: Gradients): Matrices {
    return new Map(
      [...this.#sizes].map(([name, { n, m }]) => [
        name,
        tf.add(tf.reshape(gradients.get(name) as Tensor, [n, m]), this.#residual(name).read()) as Tensor2D,
      ]),
    );
  }

  #factor(name: string): Variable {
    return this.factors.entries.get(`factors.${name}`)!.variable;
  }

  #residual(name: string): Variable {
    return this.residuals.entries.get(`error.${name}`)!.variable;
  }
}

const mapped = <T, U>(map: ReadonlyMap<string, T>, to: (value: T, name: string) => U): Map<string, U> =>
  new Map([...map].map(([name, value]) => [name, to(value, name)]));
