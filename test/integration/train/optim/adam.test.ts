import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import { type Scalar, type Tensor, tf } from '../../../../src/engine/tfjs/tf.ts';
import { constant, normal } from '../../../../src/nn/parameters.ts';
import { Weights } from '../../../../src/nn/weights.ts';
import { Adam, type OptimizerConfig } from '../../../../src/train/optim/adam.ts';
import { Ema, type EmaConfig } from '../../../../src/train/optim/ema.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import { ADAM } from '../../../support/adam-config.ts';

const runtime = new Runtime();
after(() => runtime.close());

const STEPS = 20;
const SPEC = { matrix: normal([3, 4], 1), bias: constant([4], 0.5) };
const NAMES = ['matrix', 'bias'] as const;
type Arrays = Record<(typeof NAMES)[number], number[]>;

const learningRateAt = (step: number): number => 0.02 / (1 + step / 10);

/** Gradients of very different sizes, some of them 0. */
function gradientsAt(step: number): Arrays {
  const random = new RandomStream('gradients', step);
  const draw = (count: number): number[] =>
    Array.from({ length: count }, (_, i) =>
      i % 5 === 4 ? 0 : Math.fround(random.normal() * 10 ** -(i % 4)),
    );
  return { matrix: draw(12), bias: draw(4) };
}

/** torch.optim.AdamW after torch.nn.utils.clip_grad_norm_, in float64. */
class SlowAdamW {
  readonly weights: Arrays;
  readonly #config: OptimizerConfig;
  readonly #first: Arrays = { matrix: new Array(12).fill(0), bias: new Array(4).fill(0) };
  readonly #second: Arrays = { matrix: new Array(12).fill(0), bias: new Array(4).fill(0) };

  constructor(weights: Arrays, config: OptimizerConfig) {
    this.weights = weights;
    this.#config = config;
  }

  /** `t` counts from 1; returns the gradient's norm. */
  step(t: number, gradients: Arrays, learningRate: number): number {
    const { beta1, beta2, epsilon, weightDecay, clipNorm = Number.POSITIVE_INFINITY } = this.#config;
    const norm = Math.sqrt(NAMES.flatMap((name) => gradients[name]).reduce((sum, g) => sum + g * g, 0));
    const scale = Math.min(1, clipNorm / norm);
    for (const name of NAMES) {
      const [weight, m, v] = [this.weights[name], this.#first[name], this.#second[name]];
      for (const [i, raw] of gradients[name].entries()) {
        const g = raw * scale;
        if (name === 'matrix') weight[i]! *= 1 - learningRate * weightDecay;
        m[i] = beta1 * m[i]! + (1 - beta1) * g;
        v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
        const denominator = Math.sqrt(v[i]!) / Math.sqrt(1 - beta2 ** t) + epsilon;
        weight[i]! -= (learningRate / (1 - beta1 ** t)) * (m[i]! / denominator);
      }
    }
    return norm;
  }
}

/** A model, its optimizer and EMA, and the compiled update. */
function task(
  on: Runtime,
  prefix: string,
  config: OptimizerConfig,
  averaging: EmaConfig = { decay: 0.9, every: 1 },
) {
  const weights = new Weights(on, prefix, SPEC);
  const optimizer = new Adam(on, prefix, weights.entries, config);
  const ema = new Ema(on, prefix, weights, averaging);
  const start = on.compile(`start ${prefix}`, () => {
    ema.start();
    return {};
  });
  const compiled = on.compile(
    `update ${prefix}`,
    ({ step, learningRate, ...gradients }: Record<string, Tensor>) => {
      const { gradientNorm, updates } = optimizer.apply(
        new Map(Object.entries(gradients)),
        step as Scalar,
        learningRate as Scalar,
      );
      ema.update(updates, step as Scalar);
      return { gradientNorm };
    },
  );
  const update = async (step: number): Promise<number> => {
    const { matrix, bias } = gradientsAt(step);
    const { gradientNorm } = await compiled({
      matrix: { dtype: 'float32', shape: [3, 4], data: Float32Array.from(matrix) },
      bias: { dtype: 'float32', shape: [4], data: Float32Array.from(bias) },
      step: { dtype: 'float32', shape: [], data: Float32Array.of(step) },
      learningRate: { dtype: 'float32', shape: [], data: Float32Array.of(learningRateAt(step)) },
    });
    return Number(gradientNorm!.data[0]);
  };
  const begin = async (seed: number): Promise<void> => {
    await weights.initialize(seed);
    await optimizer.moments.initialize(seed);
    await start({});
  };
  return { weights, optimizer, ema, update, begin };
}

async function arraysOf(weights: Weights<typeof SPEC>): Promise<Arrays> {
  const saved = await weights.save();
  const numbers = (name: string): number[] => Array.from(saved.get(name)!.data, Number);
  return { matrix: numbers('matrix'), bias: numbers('bias') };
}

function assertNear(actual: Arrays, expected: Arrays, tolerance: number): void {
  for (const name of NAMES) {
    for (const [i, value] of expected[name].entries()) {
      const far = Math.abs(actual[name][i]! - value);
      assert.ok(far < tolerance, `${name}[${i}] is ${actual[name][i]}, not ${value}: off by ${far}`);
    }
  }
}

describe('Adam', () => {
  const settings: [string, Partial<OptimizerConfig>][] = [
    ['as it is', {}],
    ['with weight decay on matrices only', { weightDecay: 0.3 }],
    ['with clipping', { clipNorm: 0.7 }],
    ['with an epsilon that counts', { epsilon: 0.03 }],
    [
      'with everything and other betas',
      { beta1: 0.8, beta2: 0.95, epsilon: 1e-3, weightDecay: 0.1, clipNorm: 0.2 },
    ],
  ];
  for (const [name, changes] of settings) {
    test(`${name}: twenty updates equal those of PyTorch's AdamW`, async () => {
      const config = { ...ADAM, ...changes };
      const { weights, update, begin } = task(runtime, name, config);
      await begin(1);
      const slow = new SlowAdamW(await arraysOf(weights), config);
      for (let step = 0; step < STEPS; step++) {
        const norm = await update(step);
        const expected = slow.step(step + 1, gradientsAt(step), learningRateAt(step));
        assert.ok(Math.abs(norm - expected) < 1e-5 * expected, `norm ${norm}, not ${expected}`);
        assertNear(await arraysOf(weights), slow.weights, 2e-6);
      }
    });
  }

  test('a gradient of 0 leaves the weights unchanged, clipped or not', async () => {
    const { weights, optimizer, begin } = task(runtime, 'zero', { ...ADAM, clipNorm: 1 });
    await begin(2);
    const before = await arraysOf(weights);
    const still = runtime.compile('still', ({ step }: { step: Tensor }) => {
      const gradients = new Map<string, Tensor>([
        ['matrix', tf.zeros([3, 4])],
        ['bias', tf.zeros([4])],
      ]);
      const { gradientNorm } = optimizer.apply(gradients, step as Scalar, tf.scalar(0.1));
      return { gradientNorm };
    });
    await still({ step: { dtype: 'float32', shape: [], data: Float32Array.of(0) } });
    assert.deepEqual(await arraysOf(weights), before);
  });

  test('a session that loads the moments continues bit for bit', async () => {
    const config = { ...ADAM, weightDecay: 0.1, clipNorm: 1 };
    const whole = task(runtime, 'whole', config);
    await whole.begin(3);
    for (let step = 0; step < 7; step++) await whole.update(step);
    const saved = [whole.weights, whole.optimizer.moments, whole.ema.weights];
    const states = await Promise.all(saved.map((weights) => weights.save()));
    for (let step = 7; step < STEPS; step++) await whole.update(step);

    const elsewhere = new Runtime();
    try {
      const resumed = task(elsewhere, 'resumed', config);
      const loading = [resumed.weights, resumed.optimizer.moments, resumed.ema.weights];
      for (const [i, weights] of loading.entries()) await weights.load(states[i]!);
      for (let step = 7; step < STEPS; step++) await resumed.update(step);
      for (const [i, weights] of loading.entries()) {
        assert.deepEqual(await weights.save(), await saved[i]!.save());
      }
    } finally {
      await elsewhere.close();
    }
  });
});

describe('the EMA', () => {
  for (const { decay, every } of [
    { decay: 0.9, every: 1 },
    { decay: 0.3, every: 1 },
    { decay: 0.9, every: 3 },
  ]) {
    test(`every ${every} steps with decay ${decay} equals its formula`, async () => {
      const { weights, ema, update, begin } = task(runtime, `average ${decay} ${every}`, ADAM, {
        decay,
        every,
      });
      await begin(4);
      const expected = await arraysOf(weights);
      for (let step = 0; step < STEPS; step++) {
        await update(step);
        const n = (step + 1) / every;
        if (Number.isInteger(n)) {
          const share = Math.min(decay, (1 + n) / (10 + n));
          const current = await arraysOf(weights);
          for (const name of NAMES) {
            expected[name] = expected[name].map((old, i) => share * old + (1 - share) * current[name][i]!);
          }
        }
        assertNear(await arraysOf(ema.weights), expected, 1e-6);
      }
    });
  }
});
