import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openaiModelSchema } from '../../../../src/config/dvae.ts';
import { type Tensor, type Tensor1D, type Tensor4D, tf } from '../../../../src/engine/tfjs/tf.ts';
import { dvaeArchitecture, hardReconstruction } from '../../../../src/models/dvae/architecture.ts';
import { dvaeLoss, gumbelSoftmax, logitLaplaceLoss, uniformKl } from '../../../../src/models/dvae/loss.ts';
import { decodeCodes, dvaeSpec, encode } from '../../../../src/models/dvae/model.ts';
import { mapPixels, reconstruction } from '../../../../src/models/dvae/pixels.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import {
  directionalDerivatives,
  largestDifference,
  numbers,
  perturbed,
  randomTensor,
} from '../../../support/perturbed.ts';

const random = new RandomStream('dvae loss');
const value = (scalar: Tensor): number => scalar.dataSync()[0]!;
const key = (a: number, b: number): Tensor1D => tf.tensor1d([a, b], 'int32');

describe('logit-Laplace likelihood', () => {
  test('is the density of appendix A.3', () => {
    const x = tf.clipByValue(tf.sigmoid(randomTensor([2, 2, 2, 3], random)), 0.1, 0.9) as Tensor4D;
    const stats = randomTensor([2, 2, 2, 6], random) as Tensor4D;
    const [X, S] = [numbers(x), numbers(stats)];
    const terms = X.map((pixel, i) => {
      const base = Math.floor(i / 3) * 6 + (i % 3);
      const [mu, b] = [S[base]!, Math.exp(S[base + 3]!)];
      const logit = Math.log(pixel / (1 - pixel));
      return -Math.log((1 / (2 * b * pixel * (1 - pixel))) * Math.exp(-Math.abs(logit - mu) / b));
    });
    const expected = terms.reduce((a, b) => a + b) / terms.length;
    assert.ok(Math.abs(value(logitLaplaceLoss(stats, x)) - expected) < 1e-5);
  });

  test('integrates to 1 over (0, 1)', () => {
    const steps = 500;
    const stats = tf.tensor4d([0.7, 0.7, 0.7, -0.5, -0.5, -0.5], [1, 1, 1, 6]);
    let integral = 0;
    for (let step = 0; step < steps; step++) {
      const x = tf.fill([1, 1, 1, 3], (step + 0.5) / steps) as Tensor4D;
      integral += Math.exp(-value(logitLaplaceLoss(stats, x))) / steps;
    }
    assert.ok(Math.abs(integral - 1) < 1e-3, `${integral}`);
  });
});

describe('KL to the uniform prior', () => {
  test('is the sum over the grid of Σ q ln(q V), mean over the batch', () => {
    const logits = randomTensor([2, 2, 3, 5], random, 2) as Tensor4D;
    const rows = Array.from({ length: 12 }, (_, i) => numbers(logits).slice(i * 5, i * 5 + 5));
    const expected = rows.reduce((sum, row) => {
      const total = row.reduce((a, l) => a + Math.exp(l), 0);
      return sum + row.reduce((a, l) => a + (Math.exp(l) / total) * Math.log((5 * Math.exp(l)) / total), 0);
    }, 0);
    assert.ok(Math.abs(value(uniformKl(logits)) - expected / 2) < 1e-4);
  });

  test('is 0 for equal logits and grid × ln V for certain codes', () => {
    assert.ok(Math.abs(value(uniformKl(tf.ones([1, 2, 2, 8]) as Tensor4D))) < 1e-5);
    const certain = tf.mul(tf.oneHot(tf.zeros([3, 2, 2], 'int32'), 8, 1, 0, 'float32'), 100) as Tensor4D;
    assert.ok(Math.abs(value(uniformKl(certain)) - 4 * Math.log(8)) < 1e-4);
  });
});

describe('Gumbel-softmax', () => {
  const logits = tf.tile(tf.tensor4d([1, 0, -1, 0.5], [1, 1, 1, 4]), [1, 50, 100, 1]) as Tensor4D;

  test('has one-hot samples at a low temperature, with the frequencies of the softmax', () => {
    const samples = gumbelSoftmax(logits, tf.scalar(0.01), key(1, 2));
    const largest = numbers(tf.max(samples, -1));
    assert.ok(largest.filter((m) => m > 0.99).length > 0.95 * largest.length);
    const frequencies = numbers(tf.mean(samples, [0, 1, 2]));
    const expected = numbers(tf.softmax(tf.tensor1d([1, 0, -1, 0.5])));
    const difference = largestDifference(frequencies, expected);
    assert.ok(difference < 0.03, `differs by ${difference}`);
  });

  test('has uniform samples at a high temperature, the same for the same key', () => {
    const flat = numbers(gumbelSoftmax(logits, tf.scalar(1e4), key(1, 2)));
    assert.ok(
      largestDifference(
        flat,
        flat.map(() => 0.25),
      ) < 1e-2,
    );
    const [a, b, c] = [key(3, 4), key(3, 4), key(3, 5)].map((k) =>
      numbers(gumbelSoftmax(logits, tf.scalar(1), k)),
    );
    assert.deepEqual(a, b);
    assert.notDeepEqual(a, c);
  });
});

describe('the whole loss', () => {
  const config = openaiModelSchema.parse({
    imageSize: 8,
    groups: 2,
    blocksPerGroup: 1,
    hiddenChannels: 4,
    decoderInput: 4,
    vocabulary: 6,
  });
  const p = perturbed(dvaeSpec(config), 2);
  const pixels = tf.sigmoid(randomTensor([2, 8, 8, 3], random, 2)) as Tensor4D;
  const run = (beta: number, parameters = p) =>
    dvaeLoss(parameters, pixels, config, {
      key: key(1, 1),
      temperature: tf.scalar(0.7),
      klWeight: tf.scalar(beta),
    });

  test('is the likelihood plus β KL, both divided by pixels × channels', () => {
    const result = run(6.6);
    const kl = value(uniformKl(encode(p.encoder, mapPixels(pixels), config)));
    assert.ok(Math.abs(value(result.kl) - kl) < 1e-4);
    const expected = value(result.reconstruction) + (6.6 * kl) / (8 * 8 * 3);
    assert.ok(Math.abs(value(result.loss) - expected) < 1e-4);
    assert.ok(Math.abs(value(run(0).loss) - value(result.reconstruction)) < 1e-6);
  });

  test('has the mean squared error of the decoded argmax for hard codes', () => {
    const hard = hardReconstruction(dvaeArchitecture(config), p, pixels);
    const codes = tf.argMax(encode(p.encoder, mapPixels(pixels), config), -1);
    assert.deepEqual(numbers(hard.codes_BGG), numbers(codes));
    const decoded = numbers(reconstruction(decodeCodes(p.decoder, hard.codes_BGG, config)));
    assert.deepEqual(numbers(hard.pixels_BHW3), decoded);
    const original = numbers(pixels);
    const mse = decoded.reduce((sum, v, i) => sum + (v - original[i]!) ** 2, 0) / decoded.length;
    assert.ok(Math.abs(value(hard.mse) - mse) < 1e-5);
  });

  for (const [name, parameter, put] of [
    [
      'decoder.input.weight',
      p.decoder.input.weight,
      (weight: Tensor) => ({ ...p, decoder: { ...p.decoder, input: { ...p.decoder.input, weight } } }),
    ],
    [
      'encoder.output.weight',
      p.encoder.output.weight,
      (weight: Tensor) => ({ ...p, encoder: { ...p.encoder, output: { ...p.encoder.output, weight } } }),
    ],
    [
      'encoder.input.bias',
      p.encoder.input.bias,
      (bias: Tensor) => ({ ...p, encoder: { ...p.encoder, input: { ...p.encoder.input, bias } } }),
    ],
  ] as const) {
    test(`has the gradient of finite differences for ${name}, through the relaxation`, () => {
      const { analytic, numeric } = directionalDerivatives((v) => run(6.6, put(v)).loss, parameter, 3);
      assert.ok(Math.abs(analytic) > 1e-3, `the gradient is not trivial: ${analytic}`);
      assert.ok(
        Math.abs(analytic - numeric) < 0.02 * Math.abs(analytic) + 1e-3,
        `${analytic} against ${numeric}`,
      );
    });
  }
});
