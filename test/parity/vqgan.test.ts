// VQGANs of taming-transformers, of latent-diffusion's kind and of diffusers: files that those wrote, converted, against
// what they compute. DALLE-pytorch gives the same as taming-transformers, which the script that made the files checks.
// Fixtures: scripts/fixtures/vqgan.py.

import assert from 'node:assert/strict';
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import type { TensorData } from '../../src/checkpoint/dtype.ts';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { dvaeCheckpointSchema } from '../../src/config/dvae.ts';
import type { VqganConfig } from '../../src/config/vqgan.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor3D, type Tensor4D, tf } from '../../src/engine/tfjs/tf.ts';
import { DvaeCodec } from '../../src/inference/dvae/codec.ts';
import {
  decodeCodes,
  encode,
  features,
  fromSigned,
  toSigned,
  type VqganParameters,
  vqganSpec,
} from '../../src/models/vqgan/model.ts';
import { flatten } from '../../src/nn/parameters.ts';
import { expected, parametersOf, relativeDifference, tensorOf, unpack } from '../support/parity.ts';

const TOLERANCE = 1e-4;

interface Kind {
  readonly weights: string;
  /** Beside the weights. */
  readonly config: string;
  readonly model: Omit<VqganConfig, 'architecture'>;
  /** Of what is left out. */
  readonly notes: readonly RegExp[];
}

const KINDS: Readonly<Record<string, Kind>> = {
  taming: {
    weights: 'last.ckpt',
    config: 'model.yaml',
    model: {
      imageSize: 32,
      hiddenChannels: 32,
      levelChannels: [32, 64],
      resnetBlocks: 1,
      attentionLevels: [2],
      middleAttention: true,
      normGroups: 32,
      latentChannels: 8,
      codebookDim: 6,
      vocabulary: 64,
      quantizer: 'nearest',
      hasEncoder: true,
      pixels: 'signed',
    },
    notes: [/\d+ tensors left out: .*discriminator/],
  },
  gumbel: {
    weights: 'last.ckpt',
    config: 'model.yaml',
    model: {
      imageSize: 32,
      hiddenChannels: 32,
      levelChannels: [32, 32, 32],
      resnetBlocks: 1,
      attentionLevels: [3],
      middleAttention: true,
      normGroups: 32,
      latentChannels: 8,
      codebookDim: 8,
      vocabulary: 48,
      quantizer: 'gumbel',
      hasEncoder: true,
      pixels: 'signed',
    },
    notes: [/\d+ tensors left out: .*discriminator/],
  },
  'latent-diffusion': {
    weights: 'model.ckpt',
    config: 'config.yaml',
    model: {
      imageSize: 16,
      hiddenChannels: 32,
      levelChannels: [32, 32],
      resnetBlocks: 1,
      attentionLevels: [],
      middleAttention: false,
      normGroups: 32,
      latentChannels: 3,
      codebookDim: 3,
      vocabulary: 40,
      quantizer: 'nearest',
      hasEncoder: true,
      pixels: 'signed',
    },
    notes: [/4 tensors beside the model left out/],
  },
  diffusers: {
    weights: 'diffusion_pytorch_model.safetensors',
    config: 'config.json',
    model: {
      imageSize: 16,
      hiddenChannels: 8,
      levelChannels: [8, 24],
      resnetBlocks: 2,
      attentionLevels: [2],
      middleAttention: true,
      normGroups: 4,
      latentChannels: 5,
      codebookDim: 7,
      vocabulary: 40,
      quantizer: 'nearest',
      hasEncoder: true,
      pixels: 'signed',
    },
    notes: [],
  },
};

for (const [name, kind] of Object.entries(KINDS)) {
  describe(`VQGAN, ${name}`, () => {
    let folder: string;
    let notes: readonly string[];
    let checkpoint: Checkpoint;
    let config: VqganConfig;
    let weights: Map<string, TensorData>;
    let theirs: Map<string, TensorData>;
    let pixels: Tensor4D;
    before(async () => {
      folder = unpack(`vqgan/${name}`);
      const source = fileURLToPath(new URL(`fixtures/vqgan/${name}/${kind.config}`, import.meta.url));
      copyFileSync(source, join(folder, kind.config));
      const to = join(folder, 'checkpoint');
      ({ notes } = await convertWeights([folder], to, {}));
      checkpoint = await readCheckpoint(to, { kind: 'dvae', warn: assert.fail });
      config = checkpoint.config(dvaeCheckpointSchema).model as VqganConfig;
      weights = await checkpoint.read('model');
      theirs = await expected(`vqgan/${name}/expected.safetensors`);
      pixels = toSigned(tf.div(tensorOf(theirs.get('pixels')!), 255));
    });
    after(() => rmSync(folder, { recursive: true }));

    const parameters = (tensors = weights): VqganParameters => parametersOf(vqganSpec(config), tensors);
    const encoded = (p = parameters(), model = config): Tensor4D => features(p, pixels, model);
    const decoded = (p = parameters(), model = config): Tensor4D =>
      decodeCodes(p, tensorOf(theirs.get('codes')!) as Tensor3D, model);
    const against = (tensor: Tensor4D, what: string): number =>
      relativeDifference(tensor.dataSync(), theirs.get(what)!.data as Float32Array);

    test('the configuration is that of the files, and what is left out is counted', () => {
      assert.deepEqual(config, { architecture: 'vqgan', ...kind.model });
      assert.equal(notes.length, kind.notes.length, notes.join('\n'));
      for (const [i, note] of kind.notes.entries()) assert.match(notes[i]!, note);
    });

    test('a size that its levels do not divide is an error of the option', async () => {
      await assert.rejects(convertWeights([folder], join(folder, 'odd'), { imageSize: 33 }), {
        code: 'E_OPTION_VALUE',
        option: 'imageSize',
      });
    });

    test('features and decoded pixels agree within 1e-4', () => {
      const [z, x] = [against(encoded(), 'features'), against(decoded(), 'decoded')];
      assert.ok(z < TOLERANCE, `features differ by ${z}`);
      assert.ok(x < TOLERANCE, `decoded pixels differ by ${x}`);
    });

    test('codes are the same', () => {
      const codes = tf.argMax(encode(parameters(), pixels, config), -1).dataSync();
      assert.deepEqual([...codes], [...theirs.get('codes')!.data]);
    });

    test('other groups of the normalization are noticed', () => {
      const model = { ...config, normGroups: config.normGroups / 2 };
      assert.ok(against(encoded(parameters(), model), 'features') > 10 * TOLERANCE);
      assert.ok(against(decoded(parameters(), model), 'decoded') > 10 * TOLERANCE);
    });

    // As a graph, with pixels in bytes: for one of each quantizer, since building the graphs takes a second.
    if (['taming', 'latent-diffusion'].includes(name)) return;

    test('the codec gives the same codes and, but for rounding, the same pixels', async () => {
      const runtime = new Runtime();
      try {
        const codec = await DvaeCodec.open(runtime, checkpoint);
        const codes = await codec.encode(theirs.get('pixels')!.data as Uint8Array);
        assert.deepEqual([...codes], [...theirs.get('codes')!.data]);
        const made = await codec.decode(codes);
        const wanted = tf.mul(fromSigned(tensorOf(theirs.get('decoded')!) as Tensor4D), 255).dataSync();
        const differences = made.map((value, i) => Math.abs(value - Math.round(wanted[i]!)));
        assert.ok(Math.max(...differences) <= 1, `a pixel differs by ${Math.max(...differences)}`);
        assert.ok(differences.filter((d) => d > 0).length < 0.001 * made.length);
      } finally {
        await runtime.close();
      }
    });

    // Every kind of layer is in this one, which is the smallest; and a group of its channels has several.
    if (name !== 'diffusers') return;

    test('half of any one tensor, off by a half, is noticed', () => {
      for (const [tensor, { shape }] of flatten(vqganSpec(config))) {
        // A bias of the keys adds the same to all scores of a query, which the softmax removes.
        if (tensor.endsWith('key.bias') || /(block|attention)_[23]\./.test(tensor)) continue;
        // Every other input: a normalization follows, which removes a factor of a whole channel.
        const outputs = shape.length > 1 ? shape.at(-1)! : 1;
        const data = (weights.get(tensor)!.data as Float32Array).map((value, i) =>
          Math.floor(i / outputs) % 2 === 0 ? value * 1.5 : value,
        );
        const p = parameters(new Map([...weights, [tensor, { ...weights.get(tensor)!, data }]]));
        const isEncoder = /^(encoder|quant_conv)/.test(tensor);
        const difference = isEncoder ? against(encoded(p), 'features') : against(decoded(p), 'decoded');
        assert.ok(difference > TOLERANCE, `${tensor} changes the result by ${difference}`);
      }
    });
  });
}
