// Muon against a plain implementation in float64: tall and wide matrices, several side by side, and a bias beside them.
//   n rows and m columns of a matrix

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import type { Scalar, Tensor } from '../../../../src/engine/tfjs/tf.ts';
import { constant, normal } from '../../../../src/nn/parameters.ts';
import { Weights } from '../../../../src/nn/weights.ts';
import { Adam } from '../../../../src/train/optim/adam.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import { sizeOf } from '../../../../src/util/shape.ts';
import { ADAM } from '../../../support/adam-config.ts';

const runtime = new Runtime();
after(() => runtime.close());

const SPEC = {
  wide: normal([3, 5], 1),
  tall: normal([5, 3], 1),
  three: normal([3, 9], 1),
  bias: constant([4], 0.5),
};
type Name = keyof typeof SPEC;
const NAMES = Object.keys(SPEC) as Name[];
const MATRICES = new Map([
  ['wide', 1],
  ['tall', 1],
  ['three', 3],
]);
const MOMENTUM = 0.9;
const CONFIG = { ...ADAM, weightDecay: 0.1, clipNorm: 2 };
const STEPS = 6;
const learningRateAt = (step: number): number => 0.05 / (1 + step);

type Matrix = number[][];
type Numbers = Record<Name, number[]>;

const gradientsAt = (step: number): Numbers => {
  const random = new RandomStream('muon gradients', step);
  const all = NAMES.map((name) => [
    name,
    Array.from({ length: sizeOf(SPEC[name].shape) }, () => Math.fround(random.normal())),
  ]);
  return Object.fromEntries(all) as Numbers;
};

const product = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0]!.map((_, j) => row.reduce((sum, value, k) => sum + value * b[k]![j]!, 0)));
const transposed = (a: Matrix): Matrix => a[0]!.map((_, j) => a.map((row) => row[j]!));
const combined = (terms: readonly [number, Matrix][]): Matrix =>
  terms[0]![1].map((row, i) => row.map((_, j) => terms.reduce((sum, [by, a]) => sum + by * a[i]![j]!, 0)));

/** a x + b (x xᵀ) x + c (x xᵀ)² x, five times, of x over its norm; whichever side is longer. */
function slowOrthogonal(matrix: Matrix): Matrix {
  const norm = Math.hypot(...matrix.flat());
  let x = combined([[1 / norm, matrix]]);
  for (let i = 0; i < 5; i++) {
    const cube = product(product(x, transposed(x)), x);
    const fifth = product(product(x, transposed(x)), cube);
    x = combined([
      [3.4445, x],
      [-4.775, cube],
      [2.0315, fifth],
    ]);
  }
  return x;
}

/** The update of a weight of `count` matrices of n rows side by side, flat. */
function slowUpdate(momentum: readonly number[], n: number, count: number): number[] {
  const rows = Array.from({ length: n }, (_, i) =>
    momentum.slice((i * momentum.length) / n, ((i + 1) * momentum.length) / n),
  );
  const m = rows[0]!.length / count;
  const parts = Array.from({ length: count }, (_, k) => {
    const part = rows.map((row) => row.slice(k * m, (k + 1) * m));
    return combined([[0.2 * Math.sqrt(Math.max(n, m)), slowOrthogonal(part)]]);
  });
  return rows.flatMap((_, i) => parts.flatMap((part) => part[i]!));
}

/** Nesterov's momentum, orthogonalized, with decoupled weight decay; the bias by Adam. */
function slowRun(weights: Numbers): Numbers {
  const zeros = (): Numbers =>
    Object.fromEntries(NAMES.map((name) => [name, weights[name].map(() => 0)])) as Numbers;
  const [first, second] = [zeros(), zeros()];
  for (let step = 0; step < STEPS; step++) {
    const gradients = gradientsAt(step);
    const clip = Math.min(1, CONFIG.clipNorm / Math.hypot(...NAMES.flatMap((name) => gradients[name])));
    const rate = learningRateAt(step);
    for (const name of NAMES) {
      const count = MATRICES.get(name);
      const g = gradients[name].map((value) => value * clip);
      const decay = count ? MOMENTUM : CONFIG.beta1;
      first[name] = first[name].map((value, i) => decay * value + (1 - decay) * g[i]!);
      if (count) {
        const nesterov = first[name].map((value, i) => MOMENTUM * value + (1 - MOMENTUM) * g[i]!);
        const update = slowUpdate(nesterov, SPEC[name].shape[0] as number, count);
        weights[name] = weights[name].map((w, i) => w - rate * (update[i]! + CONFIG.weightDecay * w));
        continue;
      }
      second[name] = second[name].map((v, i) => CONFIG.beta2 * v + (1 - CONFIG.beta2) * g[i]! ** 2);
      weights[name] = weights[name].map((w, i) => {
        const size = Math.sqrt(second[name][i]! / (1 - CONFIG.beta2 ** (step + 1))) + CONFIG.epsilon;
        return w - (rate * first[name][i]!) / (1 - CONFIG.beta1 ** (step + 1)) / size;
      });
    }
  }
  return weights;
}

const weights = new Weights(runtime, 'muon', SPEC);
const optimizer = new Adam(runtime, 'muon', weights.entries, CONFIG, 'none', {
  matrices: MATRICES,
  momentum: MOMENTUM,
});
const update = runtime.compile(
  'update by Muon',
  ({ step, learningRate, ...gradients }: Record<string, Tensor>) => {
    const byName = new Map(Object.entries(gradients));
    const { gradientNorm } = optimizer.apply(byName, step as Scalar, learningRate as Scalar);
    return { gradientNorm };
  },
);

async function numbersOf(): Promise<Numbers> {
  const saved = await weights.save();
  return Object.fromEntries(
    NAMES.map((name) => [name, Array.from(saved.get(name)!.data, Number)]),
  ) as Numbers;
}

async function run(step: number, gradients: Numbers): Promise<void> {
  const scalar = (value: number) =>
    ({ dtype: 'float32', shape: [] as number[], data: Float32Array.of(value) }) as const;
  const given = NAMES.map((name) => [
    name,
    { dtype: 'float32', shape: SPEC[name].shape, data: Float32Array.from(gradients[name]) } as const,
  ]);
  await update({
    ...Object.fromEntries(given),
    step: scalar(step),
    learningRate: scalar(learningRateAt(step)),
  });
}

test('updates are those of a plain implementation, and its matrices have one moment', async () => {
  await weights.initialize(0);
  await optimizer.moments.initialize(0);
  const expected = slowRun(await numbersOf());
  for (let step = 0; step < STEPS; step++) await run(step, gradientsAt(step));
  const actual = await numbersOf();
  for (const name of NAMES)
    for (const [i, value] of expected[name].entries())
      assert.ok(Math.abs(actual[name][i]! - value) < 1e-5, `${name} ${i}: ${actual[name][i]}, not ${value}`);
  const moments = ['m.wide', 'm.tall', 'm.three', 'm.bias', 'v.bias'];
  assert.deepEqual([...optimizer.moments.entries.keys()], moments);
});

test('a gradient that is not finite changes nothing, a gradient of zeros only decays', async () => {
  const before = await numbersOf();
  const moments = await optimizer.moments.save();
  await run(0, { ...gradientsAt(0), tall: gradientsAt(0).tall.map((g, i) => (i === 3 ? Number.NaN : g)) });
  assert.deepEqual(await numbersOf(), before);
  assert.deepEqual(await optimizer.moments.save(), moments);

  await optimizer.moments.initialize(0);
  const zeros = Object.fromEntries(NAMES.map((name) => [name, before[name].map(() => 0)])) as Numbers;
  await run(0, zeros);
  const factor = 1 - learningRateAt(0) * CONFIG.weightDecay;
  const decayed = await numbersOf();
  for (const name of MATRICES.keys() as Iterable<Name>)
    for (const [i, value] of decayed[name].entries())
      assert.ok(Math.abs(value - before[name][i]! * factor) < 1e-6, `${name} ${i}`);
});
