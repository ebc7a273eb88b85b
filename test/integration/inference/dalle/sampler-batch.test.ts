// An image is the same, bit for bit, in every batch: the sampled tokens, their pixels, and every bit of the logits.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readCheckpoint } from '../../../../src/checkpoint/read.ts';
import { dalleModelSchema } from '../../../../src/config/dalle-model.ts';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import { inRowBlocks } from '../../../../src/engine/tfjs/row-blocks.ts';
import type { Scalar, Tensor, Tensor1D } from '../../../../src/engine/tfjs/tf.ts';
import { cachedImageTokens, decodeStep } from '../../../../src/inference/dalle/decode.ts';
import { dalleTokens } from '../../../../src/inference/dalle/generator.ts';
import { KvCache } from '../../../../src/inference/dalle/kv-cache.ts';
import { DvaeCodec } from '../../../../src/inference/dvae/codec.ts';
import { clearedOnce } from '../../../../src/inference/sampler/kv-table.ts';
import { type SampleRequest, Sampler } from '../../../../src/inference/sampler/sampler.ts';
import { imageLength } from '../../../../src/models/dalle/config.ts';
import { dalleSpec } from '../../../../src/models/dalle/model.ts';
import { Weights } from '../../../../src/nn/weights.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import { writeTinyDvae } from '../../../support/tiny-dvae.ts';

const config = dalleModelSchema.parse({
  textLength: 8,
  textVocabulary: 50,
  grid: 6,
  imageVocabulary: 1024,
  width: 256,
  layers: 3,
  heads: 4,
  attention: ['row', 'full', 'conv'],
  kernelSize: 3,
  gated: true,
});
const LENGTH = imageLength(config);

const runtimes: Runtime[] = [];
after(() => Promise.all(runtimes.map((runtime) => runtime.close())));

async function open() {
  const runtime = new Runtime();
  runtimes.push(runtime);
  const weights = new Weights(runtime, 'dalle', dalleSpec(config));
  await weights.initialize(1);
  return { runtime, weights };
}

const requests = Array.from(
  { length: 16 },
  (_, r): SampleRequest => ({ captionTokens: [r, 2 * r, 7], negative: [r % 3], seed: 100 + r }),
);

describe('the tokens of 16 requests', () => {
  for (const [guidance, frozen] of [
    [1, true],
    [2.5, true],
    [1, false],
  ] as const) {
    const how = `with guidance ${guidance}${frozen ? '' : ' and weights that may change'}`;
    test(`are the same in batches of 1, 3, 4 and 16, ${how}`, async () => {
      const all: number[][] = [];
      for (const batch of [16, 1, 3, 4]) {
        const { runtime, weights } = await open();
        const sampler = new Sampler(runtime, 'test', dalleTokens(config, weights), {
          batch,
          settings: { temperature: 1, guidance },
          frozen,
        });
        const codes: number[] = [];
        for (let first = 0; first < requests.length; first += batch)
          codes.push(...(await sampler.sample(requests.slice(first, first + batch))));
        all.push(codes);
      }
      const [expected, ...others] = all;
      assert.equal(expected?.length, requests.length * LENGTH);
      assert.ok(new Set(expected).size > 200, 'the tokens hardly vary');
      for (const codes of others) assert.deepEqual(codes, expected);
    });
  }
});

/** The logits of each row after 20 tokens, as bits, where all rows have the same tokens. */
async function rowsOfLogits(rows: number, how: 'plain' | 'in blocks' | 'packed'): Promise<string[]> {
  const { runtime, weights } = await open();
  const cache = new KvCache(runtime, 'cache', config, {
    rows,
    prefix: 9,
    positions: cachedImageTokens(config),
  });
  await clearedOnce(runtime, 'cache', cache.variables)();
  const step = runtime.compile(
    'step',
    ({ token, place }: Record<'token' | 'place', Tensor>) => {
      const memory = cache.view(place as Scalar);
      const decode = () => decodeStep(weights.read(), memory, token as Tensor1D, place as Scalar, config);
      return { logits: how === 'plain' ? decode() : inRowBlocks(4, decode) };
    },
    { frozen: how === 'packed' ? weights.variables : [] },
  );
  const random = new RandomStream('tokens');
  for (let place = 0; ; place++) {
    const token = new Int32Array(rows).fill(random.integer(config.imageVocabulary));
    const { logits } = await step({
      token: { dtype: 'int32', shape: [rows], data: token },
      place: { dtype: 'int32', shape: [], data: Int32Array.of(place) },
    });
    if (place === 20) {
      const data = logits.data as Float32Array;
      const row = (r: number) => data.slice(r * config.imageVocabulary, (r + 1) * config.imageVocabulary);
      return Array.from({ length: rows }, (_, r) => Buffer.from(row(r).buffer).toString('hex'));
    }
  }
}

describe('guidance away from the caption itself', () => {
  test('changes nothing, although it multiplies the rounding of rows by a million', async () => {
    const sample = async (guidance: number, negative: boolean): Promise<Int32Array> => {
      const { runtime, weights } = await open();
      const sampler = new Sampler(runtime, 'test', dalleTokens(config, weights), {
        batch: 4,
        settings: { temperature: 1, guidance },
        frozen: true,
      });
      const asked = requests
        .slice(0, 4)
        .map(({ captionTokens: caption, seed }) => ({ captionTokens: caption, seed }));
      return sampler.sample(negative ? asked.map((one) => ({ ...one, negative: one.captionTokens })) : asked);
    };
    assert.deepEqual(await sample(1e6, true), await sample(1, false));
  });
});

describe('the pixels of 16 images', () => {
  const root = mkdtempSync(join(tmpdir(), 'mm-sampler-batch-'));
  after(() => rmSync(root, { recursive: true }));

  test('are the same whether decoded in batches of 1, 3, 4 or 16', async () => {
    const { imageVocabulary, grid } = config;
    const model = { imageSize: 8 * grid, groups: 4, blocksPerGroup: 1, hiddenChannels: 32, decoderInput: 64 };
    await writeTinyDvae(root, 1, { ...model, vocabulary: imageVocabulary });
    const runtime = new Runtime();
    runtimes.push(runtime);
    const codec = await DvaeCodec.open(
      runtime,
      await readCheckpoint(root, { kind: 'dvae', warn: assert.fail }),
    );
    const random = new RandomStream('codes');
    const codes = Int32Array.from({ length: 16 * LENGTH }, () => random.integer(imageVocabulary));
    const expected = await codec.decode(codes);
    for (const batch of [1, 3, 4]) {
      const pixels: number[] = [];
      for (let first = 0; first < 16; first += batch)
        pixels.push(...(await codec.decode(codes.subarray(first * LENGTH, (first + batch) * LENGTH))));
      assert.deepEqual(Uint8Array.from(pixels), expected);
    }
    assert.ok(new Set(expected).size > 100, 'the images are flat');
  });
});

describe('the logits of equal rows', () => {
  for (const how of ['in blocks', 'packed'] as const)
    test(`are bit-identical for any number of rows, ${how}`, async () => {
      const all = new Set<string>();
      for (const rows of [1, 2, 3, 4, 7, 12, 32])
        for (const row of await rowsOfLogits(rows, how)) all.add(row);
      assert.equal(all.size, 1);
    });

  test('differ without blocks', async (t) => {
    const all = new Set<string>();
    for (const rows of [1, 3, 4, 8, 32]) for (const row of await rowsOfLogits(rows, 'plain')) all.add(row);
    if (all.size === 1) t.skip('this machine rounds products of any number of rows alike');
  });
});
