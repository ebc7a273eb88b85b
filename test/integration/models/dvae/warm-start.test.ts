import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openaiModelSchema } from '../../../../src/config/dvae.ts';
import { type Tensor1D, type Tensor2D, type Tensor4D, tf } from '../../../../src/engine/tfjs/tf.ts';
import { kMeans } from '../../../../src/models/dvae/k-means.ts';
import { decodeCodes, decodeFeatures, dvaeSpec, encode } from '../../../../src/models/dvae/model.ts';
import { mapPixels } from '../../../../src/models/dvae/pixels.ts';
import {
  autoencoderLoss,
  bottleneckFeatures,
  bottleneckSpec,
  codebookConvolutions,
} from '../../../../src/models/dvae/warm-start.ts';
import { convolution } from '../../../../src/nn/convolution.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import {
  directionalDerivatives,
  largestDifference,
  numbers,
  perturbed,
  randomTensor,
} from '../../../support/perturbed.ts';

const random = new RandomStream('warm start');
const squared = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, v, i) => sum + (v - b[i]!) ** 2, 0);

describe('k-means', () => {
  const centres = Array.from({ length: 5 }, () => [
    20 * random.normal(),
    20 * random.normal(),
    20 * random.normal(),
  ]);
  // More rows than one chunk of the distances.
  const rows = 9000;
  const points = Float32Array.from(
    { length: rows * 3 },
    (_, i) => centres[Math.floor(i / 3) % 5]![i % 3]! + random.normal(),
  );
  const clusters = kMeans(points, 3, 5, new RandomStream(1));
  const row = (values: Float32Array, i: number): Float32Array => values.subarray(i * 3, i * 3 + 3);

  test('finds well-separated clusters', () => {
    for (const centre of centres) {
      const nearest = Math.min(...[0, 1, 2, 3, 4].map((c) => squared(row(clusters.centres, c), centre)));
      assert.ok(nearest < 0.1, `a centre is ${nearest} away`);
    }
    assert.ok(Math.abs(clusters.error - 3) < 0.2, `three unit variances; got ${clusters.error}`);
  });

  test('assigns each point to its closest centre', () => {
    for (let i = 0; i < rows; i += 7) {
      const distances = [0, 1, 2, 3, 4].map((c) => squared(row(points, i), row(clusters.centres, c)));
      assert.equal(clusters.assignment[i], distances.indexOf(Math.min(...distances)));
    }
  });

  test('lowers the error with iterations, and repeats it for the same stream', () => {
    const cloud = Float32Array.from({ length: 3000 }, () => random.normal());
    const errors = [0, 1, 12].map(
      (iterations) => kMeans(cloud, 3, 20, new RandomStream(2), iterations).error,
    );
    assert.ok(errors[0]! > errors[1]! && errors[1]! > errors[2]!, errors.join(' '));
    assert.deepEqual(kMeans(cloud, 3, 20, new RandomStream(2)), kMeans(cloud, 3, 20, new RandomStream(2)));
  });

  test('accepts more centres than distinct points', () => {
    const result = kMeans(Float32Array.of(1, 1, 5, 5, 1, 1), 2, 4, new RandomStream(3));
    assert.equal(result.error, 0);
    assert.ok(result.centres.every((v) => v === 1 || v === 5));
  });
});

describe('a codebook from centres', () => {
  const config = openaiModelSchema.parse({
    imageSize: 8,
    groups: 2,
    blocksPerGroup: 1,
    hiddenChannels: 4,
    decoderInput: 5,
    vocabulary: 7,
  });
  const p = perturbed(dvaeSpec(config), 1);
  const bottleneck = perturbed(bottleneckSpec(config, 3), 2);
  const pixels = tf.sigmoid(randomTensor([2, 8, 8, 3], random, 2)) as Tensor4D;
  const features = bottleneckFeatures(p.encoder, bottleneck, pixels, config);
  const points = features.dataSync() as Float32Array;
  const { centres, assignment } = kMeans(points, 3, config.vocabulary, new RandomStream(4));
  const temperature = 0.3;
  const { encoderOutput, decoderInput } = codebookConvolutions(
    bottleneck,
    tf.tensor2d(centres, [config.vocabulary, 3]) as Tensor2D,
    tf.scalar(temperature),
  );
  const warm = {
    encoder: { ...p.encoder, output: encoderOutput },
    decoder: { ...p.decoder, input: decoderInput },
  };
  const logits = encode(warm.encoder, mapPixels(pixels), config);

  test('has the logits −‖h − e‖²/T, up to a constant at each position', () => {
    assert.deepEqual(encoderOutput.weight.shape, p.encoder.output.weight.shape);
    const rows = Array.from({ length: points.length / 3 }, (_, i) => points.subarray(3 * i, 3 * i + 3));
    const expected = rows.flatMap((h) =>
      Array.from(
        { length: config.vocabulary },
        (_, k) => -squared(h, centres.subarray(3 * k, 3 * k + 3)) / temperature,
      ),
    );
    const posterior = tf.softmax(tf.tensor2d(expected, [rows.length, config.vocabulary]));
    assert.ok(largestDifference(numbers(tf.softmax(logits)), numbers(posterior)) < 1e-4);
  });

  test('has the clusters as codes, which decode like their centres', () => {
    const codes = tf.argMax(logits, -1);
    assert.deepEqual(numbers(codes), [...assignment]);
    assert.ok(new Set(assignment).size > 2);
    const quantized = tf.tensor4d(
      numbers(codes).flatMap((code) => [...centres.subarray(3 * code, 3 * code + 3)]),
      features.shape,
    );
    const direct = decodeFeatures(p.decoder, convolution(bottleneck.decode, quantized), config);
    const through = decodeCodes(warm.decoder, codes as never, config);
    assert.ok(largestDifference(numbers(through), numbers(direct)) < 1e-4);
  });

  test('the loss of the autoencoder depends on the noise and has gradients for the bottleneck', () => {
    const key = tf.tensor1d([1, 2], 'int32') as Tensor1D;
    const loss = (noise: number, weight = bottleneck.encode.weight) => {
      const narrow = { ...bottleneck, encode: { ...bottleneck.encode, weight } };
      return autoencoderLoss({ ...p, bottleneck: narrow }, pixels, config, key, noise);
    };
    assert.notEqual(loss(0).dataSync()[0], loss(0.5).dataSync()[0]);
    const { analytic, numeric } = directionalDerivatives(
      (w) => loss(0.1, w),
      bottleneck.encode.weight,
      5,
      2e-3,
    );
    assert.ok(Math.abs(analytic) > 1e-3);
    assert.ok(
      Math.abs(analytic - numeric) < 0.02 * Math.abs(analytic) + 1e-3,
      `${analytic} against ${numeric}`,
    );
  });
});
