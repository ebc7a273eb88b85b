// Parameters for comparisons: every gain, bias and kernel random and large enough to change the result.

import { useTensorFlow } from '../../src/engine/tfjs/backend.ts';
import { type Tensor, tf } from '../../src/engine/tfjs/tf.ts';
import { flatten, type Parameters, type SpecTree, unflatten } from '../../src/nn/parameters.ts';
import { RandomStream } from '../../src/util/random.ts';

useTensorFlow();

/** A float32 tensor of normal numbers. */
export function randomTensor(shape: number[], random: RandomStream, stddev = 1): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, () => stddev * random.normal()),
    shape,
  );
}

/** An int32 tensor of numbers below `bound`. */
export function randomIds(shape: number[], random: RandomStream, bound: number): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Int32Array.from({ length: size }, () => random.integer(bound)),
    shape,
    'int32',
  );
}

/** Gains around 1, biases around 0, and matrices of the size that keeps activations about as large as they were. */
export function perturbed<S extends SpecTree>(spec: S, seed: number): Parameters<S> {
  const shapes = new Map(flatten(spec).map(([name, leaf]) => [name, leaf]));
  return unflatten(spec, (name) => {
    const { shape, init } = shapes.get(name)!;
    const random = new RandomStream(seed, name);
    if (init.kind === 'constant') return tf.add(randomTensor([...shape], random, 0.3), init.value);
    return randomTensor([...shape], random, 1.5 / Math.sqrt(shape.slice(0, -1).reduce((a, b) => a * b, 1)));
  });
}

export const numbers = (tensor: Tensor): number[] => [...tensor.dataSync()];

export const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  a.length === b.length
    ? Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)))
    : Number.POSITIVE_INFINITY;

/**
 * The gradient of `f` at `x` along a random direction: by tfjs, and by a central difference.
 * Both are sums over many numbers, so that one comparison covers the whole gradient.
 */
export function directionalDerivatives(
  f: (x: Tensor) => Tensor,
  x: Tensor,
  seed: number,
  step = 2e-3,
): { analytic: number; numeric: number } {
  const direction = randomTensor(x.shape, new RandomStream(seed, 'direction'));
  const gradient = tf.grad((y: Tensor) => f(y))(x);
  const at = (scale: number): number => f(tf.add(x, tf.mul(direction, scale))).dataSync()[0]!;
  return {
    analytic: tf.sum(tf.mul(gradient, direction)).dataSync()[0]!,
    numeric: (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step),
  };
}
