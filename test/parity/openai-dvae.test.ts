// OpenAI's dVAE: files that its package wrote, converted, against what the package computes.
// Fixtures: scripts/fixtures/openai_dvae.py.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import type { TensorData } from '../../src/checkpoint/dtype.ts';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { dvaeCheckpointSchema, type OpenaiDvaeConfig, openaiModelSchema } from '../../src/config/dvae.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor3D, type Tensor4D, tf } from '../../src/engine/tfjs/tf.ts';
import { DvaeCodec } from '../../src/inference/dvae/codec.ts';
import { type DvaeParameters, decodeCodes, dvaeSpec, encode } from '../../src/models/dvae/model.ts';
import { mapPixels } from '../../src/models/dvae/pixels.ts';
import { flatten } from '../../src/nn/parameters.ts';
import { expected, parametersOf, relativeDifference, tensorOf, unpack } from '../support/parity.ts';

const TOLERANCE = 1e-4;

const SIZES: Readonly<
  Record<string, Omit<OpenaiDvaeConfig, 'architecture' | 'inputKernel' | 'encoderKernel'>>
> = {
  a: { imageSize: 24, groups: 4, blocksPerGroup: 1, hiddenChannels: 4, decoderInput: 12, vocabulary: 40 },
  b: { imageSize: 32, groups: 4, blocksPerGroup: 2, hiddenChannels: 8, decoderInput: 8, vocabulary: 64 },
  c: { imageSize: 24, groups: 4, blocksPerGroup: 3, hiddenChannels: 4, decoderInput: 16, vocabulary: 96 },
};

for (const [name, sizes] of Object.entries(SIZES)) {
  describe(`openai/DALL-E, hidden ${sizes.hiddenChannels}, ${sizes.blocksPerGroup} blocks, ${sizes.vocabulary} codes`, () => {
    let folder: string;
    let checkpoint: Checkpoint;
    let config: OpenaiDvaeConfig;
    let weights: Map<string, TensorData>;
    let theirs: Map<string, TensorData>;
    let pixels: Tensor4D;
    before(async () => {
      folder = unpack(`openai-${name}`);
      const to = join(folder, 'checkpoint');
      const files = ['encoder', 'decoder'].map((coder) => join(folder, `${coder}.pkl`));
      await convertWeights(files, to, { imageSize: sizes.imageSize });
      checkpoint = await readCheckpoint(to, { kind: 'dvae', warn: assert.fail });
      config = checkpoint.config(dvaeCheckpointSchema).model as OpenaiDvaeConfig;
      weights = await checkpoint.read('model');
      theirs = await expected(`openai-${name}/expected.safetensors`);
      pixels = tf.div(tensorOf(theirs.get('pixels')!), 255);
    });
    after(() => rmSync(folder, { recursive: true }));

    const parameters = (tensors = weights): DvaeParameters => parametersOf(dvaeSpec(config), tensors);
    const logits = (p = parameters()): Tensor4D => encode(p.encoder, mapPixels(pixels), config);
    const statistics = (p = parameters()): Tensor4D =>
      decodeCodes(p.decoder, tensorOf(theirs.get('codes')!) as Tensor3D, config);
    const against = (tensor: Tensor4D, what: string): number =>
      relativeDifference(tensor.dataSync(), theirs.get(what)!.data as Float32Array);

    test('the configuration is read off the weights', () => {
      assert.deepEqual(config, openaiModelSchema.parse(sizes));
    });

    test('logits and decoder outputs agree within 1e-4', () => {
      const [encoded, decoded] = [against(logits(), 'logits'), against(statistics(), 'stats')];
      assert.ok(encoded < TOLERANCE, `logits differ by ${encoded}`);
      assert.ok(decoded < TOLERANCE, `decoder outputs differ by ${decoded}`);
    });

    test('the codec gives the same codes and, but for rounding, the same pixels', async () => {
      const runtime = new Runtime();
      try {
        const codec = await DvaeCodec.open(runtime, checkpoint);
        const codes = await codec.encode(theirs.get('pixels')!.data as Uint8Array);
        assert.deepEqual([...codes], [...theirs.get('codes')!.data]);
        assert.ok(new Set(codes).size > 3, 'the codes differ from place to place');
        const made = await codec.decode(codes);
        const wanted = theirs.get('reconstruction')!.data as Uint8Array;
        const differences = made.map((value, i) => Math.abs(value - wanted[i]!));
        assert.ok(Math.max(...differences) <= 1, `a pixel differs by ${Math.max(...differences)}`);
        assert.ok(differences.filter((d) => d > 0).length < 0.001 * made.length);
      } finally {
        await runtime.close();
      }
    });

    // A resblock of the others has one channel inside, which may be 0 for every image.
    if (sizes.hiddenChannels < 8) return;

    test('a tenth off in any one tensor is noticed', () => {
      for (const [tensor] of flatten(dvaeSpec(config))) {
        const data = (weights.get(tensor)!.data as Float32Array).map((value) => value * 1.1);
        const p = parameters(new Map([...weights, [tensor, { ...weights.get(tensor)!, data }]]));
        const difference = tensor.startsWith('encoder')
          ? against(logits(p), 'logits')
          : against(statistics(p), 'stats');
        assert.ok(difference > TOLERANCE, `${tensor} changes the result by ${difference}`);
      }
    });

    test('a kernel turned the other way is noticed', () => {
      for (const [tensor, { shape }] of flatten(dvaeSpec(config))) {
        if (shape[0] !== 3 && shape[0] !== 7) continue;
        const { data } = weights.get(tensor)!;
        const turned = tf
          .transpose(tf.tensor(data as Float32Array, [...shape]), [1, 0, 2, 3])
          .dataSync() as Float32Array;
        const p = parameters(new Map([...weights, [tensor, { ...weights.get(tensor)!, data: turned }]]));
        const difference = tensor.startsWith('encoder')
          ? against(logits(p), 'logits')
          : against(statistics(p), 'stats');
        assert.ok(difference > TOLERANCE, `${tensor} changes the result by ${difference}`);
      }
    });
  });
}
