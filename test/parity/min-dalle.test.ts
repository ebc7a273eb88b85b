// DALL·E mini: files of min-dalle and of dalle-mini with random weights, converted, against what min-dalle computes.
// Fixture: scripts/fixtures/min_dalle_models.py.

import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { SampleOptions } from '../../src/api/options.ts';
import { type SampledImage, sample } from '../../src/api/sample.ts';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { type DalleMiniConfig, dalleMiniCheckpointSchema } from '../../src/config/dalle-mini.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor2D, tf } from '../../src/engine/tfjs/tf.ts';
import { dalleMiniTokens, openDalleMini } from '../../src/inference/dalle-mini/generator.ts';
import { DvaeCodec } from '../../src/inference/dvae/codec.ts';
import { Pipeline } from '../../src/inference/sampler/pipeline.ts';
import { type SampleRequest, Sampler } from '../../src/inference/sampler/sampler.ts';
import { textInput } from '../../src/models/dalle-mini/config.ts';
import {
  type DalleMiniParameters,
  dalleMiniSpec,
  decodeImage,
  encodeText,
  imageLogits,
  paddingMask,
  textKeyValues,
} from '../../src/models/dalle-mini/model.ts';
import { Weights } from '../../src/nn/weights.ts';
import { expected, parametersOf, relativeDifference, unpack } from '../support/parity.ts';

const FIXTURE = fileURLToPath(new URL('fixtures/min-dalle/', import.meta.url));
const TOLERANCE = 1e-4;
/** Head width 8, which is not that of the published models. */
const HEADS = 4;

const wanted = JSON.parse(readFileSync(join(FIXTURE, 'expected.json'), 'utf8'));
let folder: string;
let checkpoint: Checkpoint;
let config: DalleMiniConfig;
const path = (name: string): string => join(folder, name);
const files = (...names: string[]): string[] => names.map(path);
const TEXT = ['vocab.json', 'merges.txt'];

before(async () => {
  folder = unpack('min-dalle');
  for (const name of [...TEXT, 'config.json']) cpSync(join(FIXTURE, name), path(name));
  await convertWeights(files('encoder.pt', 'decoder.pt', 'detoker.pt', ...TEXT), path('torch'), {
    heads: HEADS,
  });
  checkpoint = await readCheckpoint(path('torch'), { kind: 'dalle', warn: assert.fail });
  config = checkpoint.config(dalleMiniCheckpointSchema).model;
});
after(() => rmSync(folder, { recursive: true }));

const inRuntime = async <T>(body: (runtime: Runtime) => Promise<T>): Promise<T> => {
  const runtime = new Runtime();
  return body(runtime).finally(() => runtime.close());
};

test('the encoder and the logits of both rows are those of min-dalle', async () => {
  const values = await expected('min-dalle/expected.safetensors');
  const p: DalleMiniParameters = parametersOf(dalleMiniSpec(config), await checkpoint.read('model'));
  const logits = [wanted.ids[0], []].map((ids: number[], row) => {
    const text = tf.tensor2d([...textInput(ids, config)], [1, config.textLength], 'int32');
    const encoded = encodeText(p.encoder, text, config);
    if (row === 0)
      assert.ok(
        relativeDifference(encoded.dataSync(), values.get('encoded')!.data as Float32Array) < TOLERANCE,
      );
    const image = tf.tensor2d(wanted.tokens.slice(0, 5), [1, 5], 'int32') as Tensor2D;
    const keys = textKeyValues(p.decoder, encoded, config);
    const { x_BND } = decodeImage(p.decoder, keys, paddingMask(text, config), image, config);
    return imageLogits(p.decoder, x_BND, config);
  });
  const both = tf.stack(
    logits.map((row) => row.squeeze([0])),
    1,
  );
  assert.deepEqual(both.shape, values.get('logits')!.shape);
  const difference = relativeDifference(both.dataSync(), values.get('logits')!.data as Float32Array);
  assert.ok(difference < TOLERANCE, `${difference}`);
});

const settings = { temperature: 1, guidance: wanted.guidance, topK: 1 };

test('sampled with top-k 1 and guidance its tokens are those of min-dalle, in any batch, primed or not', async () => {
  const ids: readonly number[][] = wanted.ids;
  const most = config.textLength - 2;
  const requests: SampleRequest[] = ids.map((all, seed) => ({ captionTokens: all.slice(0, most), seed }));
  const [single, ofThree, primed] = await inRuntime(async (runtime) => {
    const weights = new Weights(runtime, 'model', dalleMiniSpec(config));
    const fill = () => weights.loadEach(checkpoint.tensors('model'));
    await fill();
    const three = new Sampler(runtime, 'three', dalleMiniTokens(config, weights), { batch: 3, settings });
    const all = await three.sample(requests);
    const start = Int32Array.from(wanted.tokens.slice(0, 32));
    const again = await three.sample([{ ...(requests[0] as SampleRequest), start }]);
    const one = new Sampler(runtime, 'one', dalleMiniTokens(config, weights), {
      ...{ batch: 1, settings, frozen: true, releases: async () => true },
    });
    return [await one.sample(requests.slice(0, 1)), all, again] as const;
  });
  assert.deepEqual([...single], wanted.tokens);
  assert.deepEqual([...ofThree.slice(0, 256)], wanted.tokens);
  assert.notDeepEqual([...ofThree.slice(256, 512)], wanted.tokens);
  assert.deepEqual([...primed], wanted.tokens);
});

test('a pipeline generates again, with the same settings and with others, after its weights were given back', async () => {
  await inRuntime(async (runtime) => {
    const pipeline = new Pipeline(runtime, await openDalleMini(runtime, checkpoint));
    const request = { prompt: '', captionTokens: wanted.ids[0].slice(0, config.textLength - 2), seed: 0 };
    for (const batch of [1, 1, 2, 1]) {
      let tokens: number[] = [];
      const onToken = (_: number, { imageTokens }: { imageTokens: Int32Array }): void => {
        tokens = [...imageTokens.subarray(0, wanted.tokens.length)];
      };
      for await (const { size } of pipeline.generate([request], settings, { batch, onToken }))
        assert.equal(size, 32);
      assert.deepEqual(tokens, wanted.tokens);
    }
  });
});

test("the VQGAN's pixels are those of min-dalle within one level; it has no encoder", async () => {
  const values = await expected('min-dalle/expected.safetensors');
  await inRuntime(async (runtime) => {
    const codec = await DvaeCodec.open(runtime, await checkpoint.dvae());
    const pixels = await codec.decode(Int32Array.from(wanted.codes));
    const theirs = values.get('pixels')!.data as Float32Array;
    assert.equal(pixels.length, theirs.length);
    assert.ok(pixels.every((value, i) => Math.abs(value - theirs[i]!) <= 1));
    assert.ok(new Set(pixels).size > 100);
    await assert.rejects(codec.encode(new Uint8Array(32 * 32 * 3)), { code: 'E_DVAE_NO_ENCODER' });
  });
});

test('prompts are read as min-dalle reads them, and what it cannot read is said', async () => {
  await inRuntime(async (runtime) => {
    const pipeline = new Pipeline(runtime, await openDalleMini(runtime, checkpoint));
    for (const [i, prompt] of (wanted.prompts as string[]).entries())
      assert.deepEqual(pipeline.generator.tokenizer.encode(prompt), wanted.ids[i]);
    assert.equal(pipeline.encode(wanted.prompts[0]).unread, '');
    assert.equal(pipeline.encode('café', { truncate: true }).unread, 'é');
    assert.throws(() => pipeline.encode('一只猫'), { code: 'E_PROMPT_UNREADABLE' });
    const completion = pipeline.complete(['a red'], { temperature: 1, seed: 0 });
    await assert.rejects(completion.next(), { code: 'E_COMPLETION_UNSUPPORTED', option: 'complete' });
  });
});

test("dalle-mini's Flax files have the same weights; its configuration names the start token", async () => {
  await convertWeights(files('detoker.pt'), path('vqgan'), {});
  const tokenizer = join(path('torch'), 'tokenizer.json');
  const given = { dvae: path('vqgan'), tokenizer };
  await convertWeights(files('flax_model.msgpack', 'config.json'), path('flax'), given);
  const flax = await readCheckpoint(path('flax'), { kind: 'dalle', warn: assert.fail });
  assert.deepEqual(flax.config(dalleMiniCheckpointSchema).model, { ...config, imageStart: 40 });
  assert.deepEqual(await flax.read('model'), await checkpoint.read('model'));
});

const sampled = async (options: SampleOptions) => {
  const images: SampledImage[] = [];
  const all = { dalle: path('torch'), prompts: ['an avocado armchair'], topP: 0.9, onWarning: assert.fail };
  for await (const image of sample({ ...all, ...options })) images.push(image);
  return images;
};

test('in 16 bits an image is the same in any batch; its recipe says so, and what min-dalle samples with', async () => {
  const precision = 'bfloat16';
  const images = await sampled({ count: 3, precision });
  const alone = await sampled({ count: 1, seed: 2, precision });
  const settings = { temperature: 1, 'top-k': 32, 'top-p': 0.9, guidance: 16, precision };
  assert.deepEqual(JSON.parse(alone[0]?.metadata.settings as string), settings);
  assert.deepEqual(images[2], { ...alone[0], png: images[2]?.png });
});

test('a part that is missing is named', async () => {
  const convert = (names: readonly string[], options = {}) =>
    convertWeights(files(...names), path('none'), { heads: HEADS, ...options });
  await assert.rejects(convert(['decoder.pt', 'detoker.pt', ...TEXT]), { code: 'E_WEIGHTS_INCOMPLETE' });
  await assert.rejects(convert(['encoder.pt', 'decoder.pt', ...TEXT]), {
    ...{ code: 'E_DVAE_MISSING', option: 'dvae' },
  });
  await assert.rejects(convert(['encoder.pt', 'decoder.pt', 'detoker.pt']), {
    ...{ code: 'E_TOKENIZER_MISSING', option: 'tokenizer' },
  });
  await assert.rejects(convert(['encoder.pt', 'decoder.pt', 'detoker.pt', ...TEXT], { heads: undefined }), {
    ...{ code: 'E_HEADS_MISSING', option: 'heads' },
  });
});
