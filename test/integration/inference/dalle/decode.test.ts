// Decoding with a KV cache against the whole model.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import {
  ATTENTION_KINDS,
  type AttentionKind,
  type DalleModelConfig,
} from '../../../../src/config/dalle-model.ts';
import type { HostTensor } from '../../../../src/engine/native/tensor.ts';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import {
  type Scalar,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tf,
} from '../../../../src/engine/tfjs/tf.ts';
import {
  cachedImageTokens,
  type DalleCacheView,
  decodeStep,
  placeInCache,
} from '../../../../src/inference/dalle/decode.ts';
import { promptLogits } from '../../../../src/inference/dalle/prompt.ts';
import { imageLength, streamLayout } from '../../../../src/models/dalle/config.ts';
import {
  type DalleCache,
  dalleSpec,
  embed,
  logits,
  throughLayers,
} from '../../../../src/models/dalle/model.ts';
import { largestDifference, numbers, perturbed } from '../../../support/perturbed.ts';
import { config as every, image_BI, MODEL_OPTIONS, text_BT } from '../../../support/tiny-dalle-model.ts';

/** Stale numbers in rows that are not written yet, like those of an earlier image. */
const STALE = 7;

type Step = (cache: DalleCache, token_B: Tensor1D, place: number) => Promise<Stepped>;
interface Stepped {
  readonly logits_BV: Tensor;
  /** With the new position's rows. */
  readonly cache: DalleCache;
}

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

/** The rows of the text, and as many rows of the image as the cache holds. */
function divide(rows: DalleCache, config: DalleModelConfig): { prefix: DalleCache; kept: DalleCache } {
  const { prefix } = streamLayout(config);
  const part = (t: Tensor4D, first: number, count: number): Tensor4D =>
    tf.slice(t, [0, 0, first, 0], [-1, -1, count, -1]);
  return {
    prefix: mapParts(rows, (t) => part(t, 0, prefix)),
    kept: mapParts(rows, (t) => {
      const primed = t.shape[2] - prefix;
      const missing: [number, number] = [0, cachedImageTokens(config) - primed];
      return tf.pad(part(t, prefix, primed), [[0, 0], [0, 0], missing, [0, 0]], STALE);
    }),
  };
}

/** `row` instead of row `place`. */
function put(whole: Tensor4D, row: Tensor4D, place: Tensor): Tensor4D {
  const length = whole.shape[2];
  const isRow = tf.reshape(tf.equal(tf.range(0, length, 1, 'int32'), place), [1, 1, length, 1]);
  return tf.where(isRow, row as Tensor, whole) as Tensor4D;
}

/** A cache of plain tensors, which are in `cache` afterwards. */
function viewOf(prefix: DalleCache, cache: DalleCache, place: Tensor) {
  const after = cache.map((layer) => ({ ...layer })) as Record<string, Tensor4D>[];
  const memory: DalleCacheView = cache.map((_, layer) => ({
    prefix: prefix[layer],
    append: (part, row) => {
      const own = after[layer] as Record<string, Tensor4D>;
      own[part] = put(own[part] as Tensor4D, row, place);
      return own[part] as Tensor4D;
    },
  }));
  return { memory, after: after as unknown as DalleCache };
}

const column = (ids: Tensor2D, index: number): Tensor1D =>
  tf.reshape(tf.slice(ids, [0, index], [-1, 1]), [-1]);

/** Decodes the image with the tokens it has, and compares each step's logits. The first `primed` tokens are one step. */
async function compare(
  config: DalleModelConfig,
  primed: number,
  seed: number,
  step?: (prefix: DalleCache) => Step,
): Promise<void> {
  const p = perturbed(dalleSpec(config), seed);
  const { image_BIV } = logits(p, text_BT, image_BI, config);
  const near = (actual: Tensor, index: number): void => {
    const expected = tf.slice(image_BIV, [0, index, 0], [-1, 1, -1]);
    const difference = largestDifference(numbers(actual), numbers(expected));
    assert.ok(difference < 1e-4, `image token ${index} differs by ${difference}`);
  };
  const given_BJ = primed > 0 ? tf.slice(image_BI, [0, 0], [-1, primed]) : undefined;
  const all = { first: 0, end: config.layers };
  const start = throughLayers(p, embed(p, text_BT, given_BJ, config), config, all);
  near(promptLogits(p, start.x_BND, config), primed);
  const { prefix, kept } = divide(start.cache, config);
  const eager: Step = async (past, token_B, place) => {
    const at = tf.scalar(place, 'int32');
    const { memory, after } = viewOf(prefix, past, placeInCache(at, config));
    return { logits_BV: decodeStep(p, memory, token_B, at, config), cache: after };
  };
  let cache = kept;
  const next = step?.(prefix) ?? eager;
  for (let token = primed; token < imageLength(config) - 1; token++) {
    const result = await next(cache, column(image_BI, token), token);
    near(result.logits_BV, token + 1);
    cache = result.cache;
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
  for (const option of MODEL_OPTIONS) {
    test(`with ${Object.keys(option).join(', ')}`, () => compare({ ...every, ...option }, 0, 5));
  }
  for (const primed of [1, 3, 5]) {
    test(`after the first ${primed} tokens of an image`, () => compare(every, primed, 3));
  }
  test('after the first 3 tokens, with places of the targets', () =>
    compare({ ...every, attentionGrid: 'target' }, 3, 6));
});

describe('a compiled step', () => {
  const runtime = new Runtime();
  after(() => runtime.close());

  test('is one function for every position', async () => {
    const p = perturbed(dalleSpec(every), 4);
    let builds = 0;
    const host = (tensor: Tensor): HostTensor =>
      ({ dtype: tensor.dtype, shape: tensor.shape, data: tensor.dataSync() }) as HostTensor;
    const device = ({ data, shape }: HostTensor): Tensor => tf.tensor(data as Float32Array, [...shape]);
    const named = <T>(cache: DalleCache, value: (part: Tensor) => T): Record<string, T> =>
      Object.fromEntries(
        cache.flatMap(({ keys_BANd, values_BANd }, layer) => [
          [`keys${layer}`, value(keys_BANd)],
          [`values${layer}`, value(values_BANd)],
        ]),
      );
    const cacheOf = <T>(parts: Readonly<Record<string, T>>, value: (part: T) => Tensor): DalleCache =>
      Array.from({ length: every.layers }, (_, layer) => ({
        keys_BANd: value(parts[`keys${layer}`] as T) as Tensor4D,
        values_BANd: value(parts[`values${layer}`] as T) as Tensor4D,
      }));
    await compare(every, 0, 4, (prefix) => {
      const compiled = runtime.compile('decode', (inputs: Record<string, Tensor>) => {
        builds++;
        const { memory, after } = viewOf(
          prefix,
          cacheOf(inputs, (part) => part),
          inputs.place as Tensor,
        );
        const logits = decodeStep(p, memory, inputs.token as Tensor1D, inputs.place as Scalar, every);
        return { logits, ...named(after, (part) => part) } as Record<string, Tensor>;
      });
      return async (cache, token_B, place) => {
        const { logits, ...parts } = await compiled({
          token: host(token_B),
          place: host(tf.scalar(place, 'int32')),
          ...named(cache, host),
        });
        return { logits_BV: device(logits as HostTensor), cache: cacheOf(parts, device) };
      };
    });
    assert.equal(builds, 1);
  });
});
