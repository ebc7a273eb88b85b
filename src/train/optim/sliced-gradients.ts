// The gradients of a batch as an update takes them: whole on every replica, or of each a slice (train.sharding).
//   R replicas

import { gatherSlices, ownSlice, type Shapes } from '../../engine/distributed/slices.ts';
import { type SumAlgorithm, sumOverReplicas } from '../../engine/distributed/sums.ts';
import { type Scalar, type Tensor, tf } from '../../engine/tfjs/tf.ts';

type Tensors = ReadonlyMap<string, Tensor>;
type Elementwise = (x: Tensor, name: string) => Tensor;
type Reduction = (x: Tensor, name: string) => Scalar;

/** Gradients by parameter name. */
export type BatchGradients = Tensors | SlicedGradients;

/** This replica's slices of the gradients, and what depends on all of them; inside a compiled function. */
export class SlicedGradients {
  /** Flat, by parameter name. */
  readonly slices: Tensors;
  /** The whole gradients, gathered when they are needed; undefined where sums over slices are good enough. */
  readonly #whole: (() => Tensors) | undefined;

  private constructor(slices: Tensors, whole: (() => Tensors) | undefined) {
    let gathered: Tensors | undefined;
    this.slices = slices;
    this.#whole = whole && (() => (gathered ??= whole()));
  }

  /**
   * @param slices of the sums over the replicas
   * @param algorithm with `order`, sums over elements have the bits that they have without slices: whole gradients are
   *   gathered for them, bucket by bucket, and used for nothing else
   */
  static of(slices: Tensors, shapes: Shapes, algorithm: SumAlgorithm): SlicedGradients {
    return new SlicedGradients(
      slices,
      algorithm === 'order' ? () => gatherSlices(slices, shapes) : undefined,
    );
  }

  /** The slices of gradients that each replica has whole. */
  static ofWhole(gradients: Tensors): SlicedGradients {
    return new SlicedGradients(mapped(gradients, ownSlice), () => gradients);
  }

  map(f: Elementwise): SlicedGradients {
    const whole = this.#whole;
    return new SlicedGradients(mapped(this.slices, f), whole && (() => mapped(whole(), f)));
  }

  /** `f` of each gradient. @param f a sum over elements, 0 for those that are 0 */
  sums(f: Reduction): ReadonlyMap<string, Scalar> {
    if (this.#whole) return mapped(this.#whole(), f);
    const own = [...mapped(this.slices, f).values()];
    const sums = tf.unstack(sumOverReplicas(tf.stack(own), 'order')) as Scalar[];
    return new Map([...this.slices.keys()].map((name, i) => [name, sums[i] as Scalar]));
  }
}

/** `f` of each gradient, on all of its elements or on those of a slice. */
export const mapGradients = (gradients: BatchGradients, f: Elementwise): BatchGradients =>
  gradients instanceof SlicedGradients ? gradients.map(f) : mapped(gradients, f);

/** A sum over all elements of each gradient. @param f gives 0 for elements that are 0 */
export const sumsOf = (gradients: BatchGradients, f: Reduction): ReadonlyMap<string, Scalar> =>
  gradients instanceof SlicedGradients ? gradients.sums(f) : mapped(gradients, f);

/** What a replica applies: its gradients, or its slices of them. */
export const ownGradients = (gradients: BatchGradients): Tensors =>
  gradients instanceof SlicedGradients ? gradients.slices : gradients;

const mapped = <T extends Tensor>(tensors: Tensors, f: (x: Tensor, name: string) => T): Map<string, T> =>
  new Map([...tensors].map(([name, x]) => [name, f(x, name)]));
