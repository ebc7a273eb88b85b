// Cached decoding against the whole model.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { ATTENTION_KINDS, type AttentionKind, type DalleModelConfig } from '../../../../src/config/dalle.ts';
import { Runtime } from '../../../../src/engine/runtime.ts';
import type { HostTensor } from '../../../../src/engine/tensor.ts';
import {
  type Scalar,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tf,
} from '../../../../src/engine/tf.ts';
import { imageLength, prefixLength, streamLength } from '../../../../src/models/dalle/config.ts';
import { decodeStep, prefill } from '../../../../src/models/dalle/decode.ts';
import { type DalleCache, dalleSpec, logits } from '../../../../src/models/dalle/model.ts';
import { largestDifference, numbers, perturbed } from '../../nn/perturbed.ts';
import { config as every, image_BI, text_BT } from './tiny.ts';

/** Stale numbers in the rows that are not written yet, as from a picture decoded before. */
const STALE = 7;

type Step = (
  cache: DalleCache,
  token_B: Tensor1D,
  position: number,
) => Promise<{ logits_BV: Tensor; rows: DalleCache }>;

/** `change` of every part of every layer's cache. */
const mapParts = (
  cache: DalleCache,
  change: (part: Tensor4D, layer: number, name: string) => Tensor4D,
): DalleCache =>
  cache.map(
    (layerCache, layer) =>
      Object.fromEntries(
        Object.entries(layerCache).map(([name, part]) => [name, change(part as Tensor4D, layer, name)]),
      ) as unknown as DalleCache[number],
  );

/** Rows [B, …, n, …] as the first of a cache [B, …, N, …]. */
function allocate(rows: DalleCache, config: DalleModelConfig): DalleCache {
  const extend = (t: Tensor4D): Tensor4D =>
    tf.pad(
      t,
      [
        [0, 0],
        [0, 0],
        [0, streamLength(config) - t.shape[2]],
        [0, 0],
      ],
      STALE,
    );
  return mapParts(rows, extend);
}

/** `row` in the place of row `position`. */
function write(cache: DalleCache, rows: DalleCache, position: number): DalleCache {
  const put = (whole: Tensor4D, row: Tensor4D): Tensor4D => {
    const [b, h, length, d] = whole.shape;
    const head = tf.slice(whole, [0, 0, 0, 0], [b, h, position, d]);
    const tail = tf.slice(whole, [0, 0, position + 1, 0], [b, h, length - position - 1, d]);
    return tf.concat([head, row, tail], 2);
  };
  return mapParts(cache, (whole, layer, name) =>
    put(whole, (rows[layer] as unknown as Record<string, Tensor4D>)[name] as Tensor4D),
  );
}

const column = (ids: Tensor2D, index: number): Tensor1D =>
  tf.reshape(tf.slice(ids, [0, index], [-1, 1]), [-1]);

/** Decodes the picture with the tokens it has, and compares each step's logits. `primed` tokens go in at once. */
async function compare(config: DalleModelConfig, primed: number, seed: number, step?: Step): Promise<void> {
  const p = perturbed(dalleSpec(config), seed);
  const { image_BIV } = logits(p, text_BT, image_BI, config);
  const near = (actual: Tensor, index: number): void => {
    const expected = tf.slice(image_BIV, [0, index, 0], [-1, 1, -1]);
    const difference = largestDifference(numbers(actual), numbers(expected));
    assert.ok(difference < 1e-4, `image token ${index} differs by ${difference}`);
  };
  const prefix = primed > 0 ? tf.slice(image_BI, [0, 0], [-1, primed]) : undefined;
  const start = prefill(p, text_BT, config, prefix);
  near(start.logits_BV, primed);
  let cache = allocate(start.cache, config);
  const eager: Step = async (past, token_B, position) =>
    decodeStep(p, past, token_B, tf.scalar(position, 'int32'), config);
  for (let token = primed; token < imageLength(config) - 1; token++) {
    const position = prefixLength(config) + token;
    const result = await (step ?? eager)(cache, column(image_BI, token), position);
    near(result.logits_BV, token + 1);
    cache = write(cache, result.rows, position);
  }
}

describe('each step has the logits of the whole model', () => {
  const only = (kind: AttentionKind): DalleModelConfig => ({
    ...every,
    layers: 2,
    attention: [kind],
    lastAttention: kind,
  });
  for (const kind of ATTENTION_KINDS) {
    test(`with ${kind} attention`, () => compare(only(kind), 0, 1));
  }
  test('with every kind in turn', () => compare(every, 0, 2));
  const options: Partial<DalleModelConfig>[] = [
    { rotary: true },
    { tokenShift: true },
    { reversible: true },
    { sandwichNorm: true, layerScale: true, gated: true, headWidth: 6 },
    { stable: true, tiedEmbeddings: true, paddingTargets: 'each' },
    { sharedAttention: [0, 1, 2, 3], sharedFeedForward: [0, 1] },
    { rotary: true, tokenShift: true, reversible: true, stable: true },
  ];
  for (const option of options) {
    test(`with ${Object.keys(option).join(', ')}`, () => compare({ ...every, ...option }, 0, 5));
  }
  for (const primed of [1, 3, 5]) {
    test(`after the first ${primed} tokens of a picture`, () => compare(every, primed, 3));
  }
});

describe('compiled', () => {
  const runtime = new Runtime();
  after(() => runtime.close());

  test('one function serves every position', async () => {
    const p = perturbed(dalleSpec(every), 4);
    let builds = 0;
    const compiled = runtime.compile('decode', (inputs: Record<string, Tensor>) => {
      builds++;
      const cache = Array.from({ length: every.layers }, (_, layer) => ({
        keys_BHNd: inputs[`keys${layer}`] as Tensor4D,
        values_BHNd: inputs[`values${layer}`] as Tensor4D,
      }));
      const { logits_BV, rows } = decodeStep(
        p,
        cache,
        inputs.token as Tensor1D,
        inputs.position as Scalar,
        every,
      );
      const outputs = rows.map((row, layer) => [
        [`keys${layer}`, row.keys_BHNd],
        [`values${layer}`, row.values_BHNd],
      ]);
      return { logits: logits_BV, ...Object.fromEntries(outputs.flat()) } as Record<string, Tensor>;
    });
    const host = (tensor: Tensor): HostTensor =>
      ({ dtype: tensor.dtype, shape: tensor.shape, data: tensor.dataSync() }) as HostTensor;
    const device = ({ data, shape }: HostTensor): Tensor => tf.tensor(data as Float32Array, [...shape]);
    await compare(every, 0, 4, async (cache, token_B, position) => {
      const inputs = cache.flatMap(({ keys_BHNd, values_BHNd }, layer) => [
        [`keys${layer}`, host(keys_BHNd)],
        [`values${layer}`, host(values_BHNd)],
      ]);
      const result = await compiled({
        token: host(token_B),
        position: host(tf.scalar(position, 'int32')),
        ...Object.fromEntries(inputs),
      });
      const rows = cache.map((_, layer) => ({
        keys_BHNd: device(result[`keys${layer}`]!) as Tensor4D,
        values_BHNd: device(result[`values${layer}`]!) as Tensor4D,
      }));
      return { logits_BV: device(result.logits!), rows };
    });
    assert.equal(builds, 1);
  });
});
