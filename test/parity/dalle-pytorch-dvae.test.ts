// DALLE-pytorch's DiscreteVAE: checkpoints that its classes wrote, converted, against what they compute, the loss and
// its gradients included. Fixtures: scripts/fixtures/gumbel-noise.ts and dalle_pytorch_dvae.py.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import type { TensorData } from '../../src/checkpoint/dtype.ts';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import {
  type DallePytorchDvaeConfig,
  dallePytorchModelSchema,
  dvaeCheckpointSchema,
} from '../../src/config/dvae.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { randomGumbel } from '../../src/engine/ops/random.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor1D, type Tensor3D, type Tensor4D, tf } from '../../src/engine/tfjs/tf.ts';
import { DvaeCodec } from '../../src/inference/dvae/codec.ts';
import {
  type DiscreteVaeParameters,
  decodeCodes,
  discreteVaeSpec,
  encode,
  normalize,
} from '../../src/models/dvae/dalle-pytorch.ts';
import { discreteVaeLoss } from '../../src/models/dvae/dalle-pytorch-loss.ts';
import { flatten, unflatten } from '../../src/nn/parameters.ts';
import { stepKey } from '../../src/train/loop/scalars.ts';
import { expected, parametersOf, relativeDifference, tensorOf, unpack } from '../support/parity.ts';

const TOLERANCE = 1e-4;
const TEMPERATURE = 0.7;

const CASES: Readonly<Record<string, { readonly model: object; readonly klWeight: number }>> = {
  a: {
    model: { imageSize: 16, layers: 2, resnetBlocks: 1, hiddenChannels: 8, codebookDim: 12, vocabulary: 24 },
    klWeight: 0,
  },
  b: {
    model: {
      ...{ imageSize: 8, layers: 1, resnetBlocks: 0, hiddenChannels: 10, codebookDim: 6, vocabulary: 20 },
      ...{ reconstruction: 'smooth-l1', straightThrough: true },
      normalization: { means: [0, 0, 0], stds: [1, 1, 1] },
    },
    klWeight: 0.05,
  },
  c: {
    model: {
      ...{ imageSize: 16, layers: 3, resnetBlocks: 2, hiddenChannels: 6, codebookDim: 10, vocabulary: 16 },
      ...{ straightThrough: true, reinmax: true },
      normalization: { means: [0.4, 0.5, 0.6], stds: [0.2, 0.3, 0.25] },
    },
    klWeight: 0.02,
  },
};

for (const [name, { model, klWeight }] of Object.entries(CASES)) {
  describe(`DiscreteVAE ${JSON.stringify(model)}`, () => {
    let folder: string;
    let checkpoint: Checkpoint;
    let config: DallePytorchDvaeConfig;
    let weights: Map<string, TensorData>;
    let theirGradients: Map<string, TensorData>;
    let theirs: Map<string, TensorData>;
    let pixels: Tensor4D;
    const converted = async (file: string): Promise<Checkpoint> => {
      const to = join(folder, file);
      await convertWeights([join(folder, `${file}.pt`)], to, {});
      return readCheckpoint(to, { kind: 'dvae', warn: assert.fail });
    };
    before(async () => {
      folder = unpack(`dalle-pytorch-${name}`);
      checkpoint = await converted('vae');
      config = checkpoint.config(dvaeCheckpointSchema).model as DallePytorchDvaeConfig;
      weights = await checkpoint.read('model');
      theirGradients = await (await converted('gradients')).read('model');
      theirs = await expected(`dalle-pytorch-${name}/expected.safetensors`);
      pixels = tf.div(tensorOf(theirs.get('pixels')!), 255);
    });
    after(() => rmSync(folder, { recursive: true }));

    const parameters = (tensors = weights): DiscreteVaeParameters =>
      parametersOf(discreteVaeSpec(config), tensors);
    const logits = (p = parameters()): Tensor4D => encode(p.encoder, normalize(pixels, config));
    const decoded = (p = parameters()): Tensor4D =>
      decodeCodes(p, tensorOf(theirs.get('codes')!) as Tensor3D);
    const against = (tensor: Tensor, what: string): number =>
      relativeDifference(tensor.dataSync(), theirs.get(what)!.data as Float32Array);
    const key = tf.tensor1d(stepKey(0, 0).data as Int32Array, 'int32') as Tensor1D;
    const loss = (p: DiscreteVaeParameters, beta = klWeight) =>
      discreteVaeLoss(p, pixels, config, {
        key,
        temperature: tf.scalar(TEMPERATURE),
        klWeight: tf.scalar(beta),
      });

    test('the configuration is the one the checkpoint names', () => {
      assert.deepEqual(config, dallePytorchModelSchema.parse({ architecture: 'dalle-pytorch', ...model }));
    });

    test('logits and decoder outputs agree within 1e-4', () => {
      const [encoded, made] = [against(logits(), 'logits'), against(decoded(), 'decoded')];
      assert.ok(encoded < TOLERANCE, `logits differ by ${encoded}`);
      assert.ok(made < TOLERANCE, `decoder outputs differ by ${made}`);
    });

    test('the codec gives the same codes, and the same pixels but for rounding', async () => {
      const runtime = new Runtime();
      try {
        const codec = await DvaeCodec.open(runtime, checkpoint);
        const codes = await codec.encode(theirs.get('pixels')!.data as Uint8Array);
        assert.deepEqual([...codes], [...theirs.get('codes')!.data]);
        assert.ok(new Set(codes).size > 3, 'the codes differ from place to place');
        const { means, stds } = config.normalization;
        const made = await codec.decode(codes);
        const wanted = Array.from(theirs.get('decoded')!.data as Float32Array, (value, i) =>
          Math.min(255, Math.max(0, (value * stds[i % 3]! + means[i % 3]!) * 255)),
        );
        assert.ok(made.every((value, i) => Math.abs(value - wanted[i]!) < 0.51));
      } finally {
        await runtime.close();
      }
    });

    test('the noise is the one the reference was given', async () => {
      const noise = (await expected('noise.safetensors')).get(`dalle-pytorch-${name}`)!;
      assert.deepEqual(randomGumbel(key, noise.shape).dataSync(), noise.data);
    });

    test('loss and reconstruction loss agree within 1e-4', () => {
      const ours = loss(parameters());
      assert.ok(against(ours.loss, 'loss') < TOLERANCE, `${against(ours.loss, 'loss')}`);
      assert.ok(against(ours.reconstruction, 'reconstruction') < TOLERANCE);
      if (klWeight > 0) assert.ok(against(ours.reconstruction, 'loss') > 100 * TOLERANCE, 'the KL matters');
    });

    test('the gradient of every weight agrees within 1e-3', () => {
      const spec = flatten(discreteVaeSpec(config));
      const names = spec.map(([leaf]) => leaf);
      const gradients = tf.grads((...tensors: Tensor[]) => {
        const byName = new Map(names.map((leaf, i) => [leaf, tensors[i]!]));
        return loss(unflatten(discreteVaeSpec(config), (leaf) => byName.get(leaf)!)).loss;
      })(names.map((leaf) => tensorOf(weights.get(leaf)!)));
      for (const [i, leaf] of names.entries()) {
        const wanted = theirGradients.get(leaf)!.data as Float32Array;
        const difference = relativeDifference(gradients[i]!.dataSync(), wanted);
        assert.ok(difference < 1e-3, `${leaf} differs by ${difference}`);
        assert.ok(
          wanted.some((value) => Math.abs(value) > 1e-6),
          `${leaf} has a gradient`,
        );
      }
    });

    test('a tenth off in any one tensor is noticed', () => {
      for (const [tensor] of flatten(discreteVaeSpec(config))) {
        const data = (weights.get(tensor)!.data as Float32Array).map((value) => value * 1.1);
        const p = parameters(new Map([...weights, [tensor, { ...weights.get(tensor)!, data }]]));
        const difference = tensor.startsWith('encoder')
          ? against(logits(p), 'logits')
          : against(decoded(p), 'decoded');
        assert.ok(difference > TOLERANCE, `${tensor} changes the result by ${difference}`);
      }
    });
  });
}
