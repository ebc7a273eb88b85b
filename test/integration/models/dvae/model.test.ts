import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openaiModelSchema } from '../../../../src/config/dvae.ts';
import { type Tensor3D, type Tensor4D, tf } from '../../../../src/engine/tfjs/tf.ts';
import { codeGrid } from '../../../../src/models/dvae/config.ts';
import { decode, decodeCodes, dvaeSpec, encode } from '../../../../src/models/dvae/model.ts';
import { mapPixels, reconstruction, unmapPixels } from '../../../../src/models/dvae/pixels.ts';
import { countParameters, flatten } from '../../../../src/nn/parameters.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import {
  largestDifference,
  numbers,
  perturbed,
  randomIds,
  randomTensor,
} from '../../../support/perturbed.ts';
import { type Image, slowDecoder, slowEncoder } from '../../../support/slow-dvae.ts';

const random = new RandomStream('dvae');
const config = openaiModelSchema.parse({
  imageSize: 8,
  groups: 3,
  blocksPerGroup: 2,
  hiddenChannels: 16,
  decoderInput: 6,
  vocabulary: 10,
});
const grid = codeGrid(config);

describe('the published size', () => {
  const published = openaiModelSchema.parse({});
  const spec = dvaeSpec(published);

  test('has the published tensors', () => {
    const shapes = new Map(flatten(spec).map(([name, { shape }]) => [name, shape.join(' ')]));
    // openai/DALL-E names them blocks.… .w and .b, kernels [out, in, k, k].
    const expected = {
      'encoder.input.weight': '7 7 3 256',
      'encoder.group_1.block_1.res_path.conv_1.weight': '3 3 256 64',
      'encoder.group_2.block_1.id_path.weight': '1 1 256 512',
      'encoder.group_4.block_2.res_path.conv_4.weight': '1 1 512 2048',
      'encoder.output.weight': '1 1 2048 8192',
      'decoder.input.weight': '1 1 8192 128',
      'decoder.group_1.block_1.id_path.weight': '1 1 128 2048',
      'decoder.group_1.block_1.res_path.conv_1.weight': '1 1 128 512',
      'decoder.group_3.block_1.res_path.conv_2.weight': '3 3 128 128',
      'decoder.group_4.block_2.res_path.conv_4.bias': '256',
      'decoder.output.weight': '1 1 256 6',
    };
    for (const [name, shape] of Object.entries(expected)) assert.equal(shapes.get(name), shape, name);
    for (const name of ['encoder.group_1.block_1.id_path.weight', 'decoder.group_2.block_2.id_path.weight']) {
      assert.ok(!shapes.has(name), `${name}: widths are equal there`);
    }
    assert.equal(shapes.size, 2 * (2 + 2 + 8 * 4 * 2) + 2 * 3 + 2 * 4);
  });

  test('has 97.6 million parameters and a 32 × 32 grid', () => {
    assert.equal(codeGrid(published), 32);
    assert.equal((countParameters(spec) / 1e6).toFixed(1), '97.6');
  });
});

describe('a small model', () => {
  const p = perturbed(dvaeSpec(config), 1);
  const toImages = (values: number[], batch: number): Image[] => {
    const size = values.length / batch;
    return Array.from({ length: batch }, (_, b) => values.slice(b * size, (b + 1) * size));
  };

  test('encodes as loops over pixels and channels do', () => {
    const x = randomTensor([2, 8, 8, 3], random) as Tensor4D;
    const logits = encode(p.encoder, x, config);
    assert.deepEqual(logits.shape, [2, grid, grid, config.vocabulary]);
    const expected = toImages(numbers(x), 2).flatMap((image) => slowEncoder(p.encoder, image, config));
    const difference = largestDifference(numbers(logits), expected);
    assert.ok(difference < 1e-4, `differs by ${difference}`);
  });

  test('decodes as loops over pixels and channels do', () => {
    const z = tf.softmax(randomTensor([2, grid, grid, config.vocabulary], random, 2)) as Tensor4D;
    const stats = decode(p.decoder, z, config);
    assert.deepEqual(stats.shape, [2, 8, 8, 6]);
    const expected = toImages(numbers(z), 2).flatMap((image) => slowDecoder(p.decoder, image, config));
    const difference = largestDifference(numbers(stats), expected);
    assert.ok(difference < 1e-4, `differs by ${difference}`);
  });

  test('decodes codes like their one-hot vectors', () => {
    const codes = randomIds([2, grid, grid], random, config.vocabulary) as Tensor3D;
    const oneHot = tf.oneHot(codes, config.vocabulary, 1, 0, 'float32') as Tensor4D;
    const difference = largestDifference(
      numbers(decodeCodes(p.decoder, codes, config)),
      numbers(decode(p.decoder, oneHot, config)),
    );
    assert.ok(difference < 1e-5, `differs by ${difference}`);
  });

  test('changes its codes or its image with every parameter', () => {
    const x = randomTensor([1, 8, 8, 3], random) as Tensor4D;
    const result = (parameters: typeof p): number[] => {
      const logits = encode(parameters.encoder, x, config);
      return numbers(logits).concat(numbers(decode(parameters.decoder, tf.softmax(logits), config)));
    };
    const before = result(p);
    for (const [name] of flatten(dvaeSpec(config))) {
      const path = name.split('.');
      const changed = copyTree(p) as Record<string, unknown>;
      const parent = path.slice(0, -1).reduce((node, key) => node[key] as Record<string, unknown>, changed);
      const leaf = path.at(-1)!;
      parent[leaf] = tf.add(parent[leaf] as Tensor4D, 0.5);
      const difference = largestDifference(before, result(changed as typeof p));
      assert.ok(difference > 1e-3, `${name} changes the result by ${difference}`);
    }
  });
});

/** Copies the tree without copying its tensors. */
function copyTree(tree: object): object {
  return Object.fromEntries(
    Object.entries(tree).map(([name, node]) => [name, 'dataId' in node ? node : copyTree(node)]),
  );
}

describe('pixels', () => {
  test('of 0 and 1 are mapped to 0.1 and 0.9, and back', () => {
    const x = tf.tensor4d([0, 0.25, 1, 0.5], [1, 2, 2, 1]);
    const mapped = mapPixels(x);
    assert.ok(largestDifference(numbers(mapped), [0.1, 0.3, 0.9, 0.5]) < 1e-6);
    assert.ok(largestDifference(numbers(unmapPixels(mapped)), numbers(x)) < 1e-6);
  });

  test('outside of the range are clipped', () => {
    const values = numbers(unmapPixels(tf.tensor4d([0.05, 0.95], [1, 1, 2, 1])));
    assert.deepEqual(values, [0, 1]);
  });

  test('of a reconstruction are the sigmoid of μ, for any ln b', () => {
    const mu = [-1, 0, 1.5];
    const stats = tf.tensor4d([...mu, 9, -9, 3], [1, 1, 1, 6]);
    const expected = mu.map((m) => (1 / (1 + Math.exp(-m)) - 0.1) / 0.8);
    assert.ok(largestDifference(numbers(reconstruction(stats)), expected) < 1e-6);
  });
});
