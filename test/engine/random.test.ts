import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { foldIn, randomGumbel, randomNormal, randomUniform } from '../../src/engine/ops/random.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor1D, tf } from '../../src/engine/tfjs/tf.ts';
import { graphSeed } from '../../src/util/random.ts';
import { difference, integers, onHost, runRecorded } from './compare.ts';

const runtime = new Runtime();
after(() => runtime.close());

const COUNT = 1 << 18;
const keyOf = (...parts: (string | number)[]): Tensor1D => tf.tensor1d(graphSeed(...parts), 'int32');
const numbers = (tensor: Tensor): number[] => Array.from(onHost(tensor).data, Number);
const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const variance = (values: number[]): number => {
  const centre = mean(values);
  return mean(values.map((value) => (value - centre) ** 2));
};
const correlation = (a: number[], b: number[]): number => {
  const [centreA, centreB] = [mean(a), mean(b)];
  return (
    mean(a.map((value, i) => (value - centreA) * (b[i]! - centreB))) / Math.sqrt(variance(a) * variance(b))
  );
};

const samplers = { uniform: randomUniform, normal: randomNormal, gumbel: randomGumbel };

describe('random numbers', () => {
  for (const [name, sample] of Object.entries(samplers)) {
    test(`${name}: one key gives the same numbers, eagerly and recorded, in every run`, async () => {
      const key = graphSeed('key', name);
      const expected = onHost(sample(tf.tensor1d(key, 'int32'), [3, 5]));
      const compiled = runtime.compile(name, ({ key }: { key: Tensor }) => ({
        x: sample(key as Tensor1D, [3, 5]),
      }));
      for (let run = 0; run < 2; run++) {
        const { x } = await compiled({ key: integers([2], key) });
        assert.ok(difference(x, expected) < 1e-6);
      }
      const { x } = await compiled({ key: integers([2], graphSeed('another key', name)) });
      assert.ok(difference(x, expected) > 0.1);
    });
  }

  test('with keys of different steps, seeds and purposes are uncorrelated', () => {
    const step = keyOf(1, 'step', 1);
    const streams = [
      step,
      keyOf(1, 'step', 2),
      keyOf(2, 'step', 1),
      foldIn(step, 'dropout'),
      foldIn(step, 'gumbel'),
      foldIn(foldIn(step, 'dropout'), 'gumbel'),
      foldIn(foldIn(step, 'gumbel'), 'dropout'),
    ].map((key) => numbers(randomNormal(key, [1 << 14])));
    for (const [i, a] of streams.entries()) {
      for (const b of streams.slice(i + 1)) {
        const related = correlation(a, b);
        assert.ok(Math.abs(related) < 5 / Math.sqrt(a.length), `correlated by ${related}`);
      }
    }
  });

  test('have the same key for a purpose, recorded and eagerly', async () => {
    const key = graphSeed(3);
    const body = (k: Tensor): Tensor => foldIn(foldIn(k as Tensor1D, 'layer'), 'dropout');
    const [recorded] = await runRecorded(runtime, 'purpose', body, [integers([2], key)]);
    assert.deepEqual([...recorded!.data], numbers(body(tf.tensor1d(key, 'int32'))));
  });
});

describe('the distribution of', () => {
  // Five standard errors around the true value; the key is fixed, so a test that passes will always pass.
  const near = (value: number, expected: number, deviation: number): void =>
    assert.ok(
      Math.abs(value - expected) < (5 * deviation) / Math.sqrt(COUNT),
      `${value} is not near ${expected}`,
    );

  test('uniform numbers has mean ½, variance 1/12, equal tenths and the range [0, 1)', () => {
    const values = numbers(randomUniform(keyOf('uniform'), [COUNT]));
    near(mean(values), 1 / 2, Math.sqrt(1 / 12));
    near(variance(values), 1 / 12, Math.sqrt(1 / 180));
    for (let tenth = 0; tenth < 10; tenth++) {
      near(mean(values.map((value) => Number(Math.floor(value * 10) === tenth))), 0.1, 0.3);
    }
    assert.ok(values.every((value) => value >= 0 && value < 1));
  });

  test('normal numbers has mean 0, variance 1, skewness 0 and kurtosis 3', () => {
    const values = numbers(randomNormal(keyOf('normal'), [COUNT]));
    near(mean(values), 0, 1);
    near(variance(values), 1, Math.SQRT2);
    near(mean(values.map((value) => value ** 3)), 0, Math.sqrt(15));
    near(mean(values.map((value) => value ** 4)), 3, Math.sqrt(96));
  });

  test('Gumbel numbers has mean γ, variance π²/6 and the distribution function exp(−exp(−x))', () => {
    const values = numbers(randomGumbel(keyOf('gumbel'), [COUNT]));
    const squared = Math.PI ** 2 / 6;
    near(mean(values), 0.5772156649, Math.sqrt(squared));
    near(variance(values), squared, Math.sqrt(4.4) * squared); // kurtosis 5.4
    for (const x of [-1, 0, 1, 3]) {
      const below = Math.exp(-Math.exp(-x));
      near(mean(values.map((value) => Number(value < x))), below, Math.sqrt(below * (1 - below)));
    }
  });

  test('the argmax of logits plus Gumbel numbers is their softmax', () => {
    const logits = tf.tensor1d([0, 1, 2, -1]);
    const noise = randomGumbel(keyOf('gumbel-max'), [COUNT, 4]);
    const sampled = numbers(tf.argMax(tf.add(logits, noise), -1));
    for (const [i, share] of numbers(tf.softmax(logits)).entries()) {
      near(mean(sampled.map((choice) => Number(choice === i))), share, Math.sqrt(share * (1 - share)));
    }
  });
});

test('the uniform number 0, and the one closest to 1, give finite Gumbel numbers', () => {
  const length = 1 << 16;
  for (const [key, at, uniform] of [
    [47, 36945, 0],
    [121, 30754, 1 - 2 ** -23],
  ] as const) {
    const seed = tf.tensor1d([key, 0], 'int32');
    assert.equal(numbers(randomUniform(seed, [length]))[at], uniform);
    const gumbel = numbers(randomGumbel(seed, [length]));
    assert.ok(gumbel.every(Number.isFinite));
    const expected = -Math.log(-Math.log(uniform + 2 ** -24));
    assert.ok(Math.abs(gumbel[at]! - expected) < 1e-4, `${gumbel[at]} is not ${expected}`);
  }
});
