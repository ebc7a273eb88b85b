// Training with a loss scale equals training without one that leaves out the overflowing steps, bit for bit.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { HostTensor } from '../../../../src/engine/native/tensor.ts';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import { type Scalar, type Tensor, tf } from '../../../../src/engine/tfjs/tf.ts';
import { constant, normal } from '../../../../src/nn/parameters.ts';
import { Weights } from '../../../../src/nn/weights.ts';
import { Adam } from '../../../../src/train/optim/adam.ts';
import { Ema } from '../../../../src/train/optim/ema.ts';
import { valueAndGradients } from '../../../../src/train/optim/gradients.ts';
import { assertLossScale, LossScale } from '../../../../src/train/optim/loss-scale.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import { ADAM } from '../../../support/adam-config.ts';

const runtime = new Runtime();
after(() => runtime.close());

const SPEC = { matrix: normal([3, 4], 1), bias: constant([4], 0.5) };
const CONFIG = { ...ADAM, weightDecay: 0.1, clipNorm: 0.5 };
const START = 1024;
const GROW_EVERY = 3;
const STEPS = 16;
/** The factor of the loss at the steps where its gradient overflows, and at all others. */
const OVERFLOWS = new Map([
  [2, Number.POSITIVE_INFINITY],
  [3, Number.NaN],
  [9, 3e38],
]);

const scalar = (value: number): HostTensor => ({ dtype: 'float32', shape: [], data: Float32Array.of(value) });

function inputs(step: number): HostTensor {
  const random = new RandomStream('loss scale', step);
  return { dtype: 'float32', shape: [5, 3], data: Float32Array.from({ length: 15 }, () => random.normal()) };
}

/** A model with its optimizer and EMA, whose loss is multiplied by a factor that is fed. */
function task(prefix: string, isScaled: boolean) {
  const weights = new Weights(runtime, prefix, SPEC);
  const optimizer = new Adam(runtime, prefix, weights.entries, CONFIG);
  const ema = new Ema(runtime, prefix, weights, { decay: 0.9, every: 2 });
  const lossScale = isScaled
    ? new LossScale(runtime, prefix, { start: START, growEvery: GROW_EVERY })
    : undefined;
  const start = runtime.compile(`start ${prefix}`, () => {
    ema.start();
    return {};
  });
  type Inputs = Record<'x' | 'step' | 'factor', Tensor>;
  const update = runtime.compile(`update ${prefix}`, ({ x, step, factor }: Inputs) => {
    const { values, gradients } = valueAndGradients(
      weights.entries,
      (read) => {
        const y = tf.add(tf.matMul(x, read('matrix')), read('bias'));
        return { loss: tf.mul(tf.mean(tf.square(y)), factor) as Scalar };
      },
      lossScale?.value,
    );
    const scaled = lossScale?.update(gradients, step as Scalar);
    const unscaling = scaled && (() => scaled.unscaling);
    const { gradientNorm, updates } = optimizer.apply(gradients, step as Scalar, tf.scalar(0.05), unscaling);
    ema.update(updates, step as Scalar, unscaling);
    return { ...values, gradientNorm, ...scaled?.metrics };
  });
  const parts = [weights, optimizer.moments, ema.weights];
  return {
    async begin(): Promise<void> {
      await weights.load(initial);
      await optimizer.moments.initialize(0);
      await lossScale?.state.initialize(0);
      await start({});
    },
    async step(count: number, data: number, factor: number): Promise<Record<string, number>> {
      const results = await update({ x: inputs(data), step: scalar(count), factor: scalar(factor) });
      return Object.fromEntries(
        Object.entries(results).map(([name, tensor]) => [name, Number((tensor as HostTensor).data[0])]),
      );
    },
    async everything(): Promise<number[][]> {
      const saved = await Promise.all(parts.map((part) => part.save()));
      return saved.flatMap((values) => [...values.values()].map(({ data }) => Array.from(data, Number)));
    },
    scale: lossScale?.state,
  };
}

const initial = new Map<string, HostTensor>([
  [
    'matrix',
    { dtype: 'float32', shape: [3, 4], data: Float32Array.from({ length: 12 }, (_, i) => i / 7 - 1) },
  ],
  ['bias', { dtype: 'float32', shape: [4], data: Float32Array.of(0.3, -0.2, 0.1, 0) }],
]);

describe('the loss scale', () => {
  test('does not change finite updates; an overflow changes nothing but lowers the scale', async () => {
    const plain = task('plain', false);
    const scaled = task('scaled', true);
    await plain.begin();
    await scaled.begin();
    let [scale, streak, skipped, applied] = [START, 0, 0, 0];
    for (let step = 0; step < STEPS; step++) {
      const overflow = OVERFLOWS.get(step);
      const before = await scaled.everything();
      const metrics = await scaled.step(step, step, overflow ?? 1);
      assert.equal(metrics.lossScale, scale, `scale at step ${step}`);
      if (overflow === undefined) {
        const expected = await plain.step(applied++, step, 1);
        assert.equal(metrics.loss, expected.loss, 'the reported loss is without the scale');
        assert.equal(metrics.gradientNorm, expected.gradientNorm);
        assert.notDeepEqual(await scaled.everything(), before);
        streak += 1;
        if (streak === GROW_EVERY) [scale, streak] = [scale * 2, 0];
      } else {
        assert.deepEqual(await scaled.everything(), before, `step ${step} is skipped`);
        [scale, streak, skipped] = [scale / 2, 0, skipped + 1];
      }
      assert.equal(metrics.skippedUpdates, skipped);
      assert.deepEqual(await scaled.everything(), await plain.everything(), `after step ${step}`);
    }
    assert.equal(skipped, OVERFLOWS.size);
    const state = await scaled.scale!.save();
    const at = (name: string): number => Number(state.get(`lossScale.${name}`)!.data[0]);
    assert.deepEqual([at('value'), at('streak'), at('skipped')], [scale, streak, skipped]);
    assert.ok(scale > START / 2 ** skipped, 'it has grown too');
  });

  test('ends a run whose updates overflow at any scale', () => {
    assertLossScale(undefined, 1, 'runs/x');
    assertLossScale(2 ** -9, 1, 'runs/x');
    assert.throws(() => assertLossScale(2 ** -10, 30, 'runs/x'), {
      code: 'E_LOSS_SCALE',
      where: 'runs/x',
      message: /\bstep 30\b/,
    });
  });
});
